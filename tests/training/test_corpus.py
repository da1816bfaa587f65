import hashlib
import struct
import zlib
from pathlib import Path

import pytest

from training import corpus
from training.corpus import CorpusError, chapters_of, plain_text, read_corpus, read_testament


def test_tags_go_and_words_stay() -> None:
    assert plain_text('<w lemma="strong:H0430">In</w> <w lemma="strong:H0853">the</w> beginning, God') == (
        "In the beginning, God"
    )


def test_a_note_leaves_a_space_and_a_title_nothing() -> None:
    assert plain_text("<title>BOOK 1</title> God<note n='1'>Elohim.</note>created") == "God created"


def test_a_paragraph_is_a_line_and_so_is_a_stanza() -> None:
    markup = '<div sID="g1" type="x-p"/>One. <div eID="g1" type="x-p"/> Two,<l eID="g2"/> three. <lg eID="g3"/>Four'
    assert plain_text(markup) == "One.\nTwo, three.\nFour"


def test_typographic_characters_become_ascii() -> None:
    assert plain_text("“God’s Spirit—the ‘deep’”") == "\"God's Spirit--the 'deep'\""


def test_a_quotation_does_not_run_into_the_next_word() -> None:
    assert plain_text("alone?”He said") == 'alone?" He said'


def test_no_space_stands_before_a_point() -> None:
    assert plain_text("scoffers <note>x</note>, and sinners <note>y</note>.") == "scoffers, and sinners."


def test_a_book_is_cut_at_its_chapters_and_its_front_is_left_out() -> None:
    book = '<title>Genesis</title> about it <chapter sID="Gen.1"/>One.<chapter eID="Gen.1"/><chapter sID="Gen.2"/>Two.'
    assert list(chapters_of(book)) == ["One.", "Two."]


def write_testament(folder: Path, name: str, books: list[str]) -> None:
    packed = [zlib.compress(book.encode()) for book in books]
    offsets = [sum(map(len, packed[:number])) for number in range(len(packed))]
    rows = zip(offsets, packed, books, strict=True)
    (folder / f"{name}.bzs").write_bytes(b"".join(struct.pack("<III", at, len(one), len(raw)) for at, one, raw in rows))
    (folder / f"{name}.bzz").write_bytes(b"".join(packed))


def test_books_of_other_canons_and_fragments_are_left_out(tmp_path: Path) -> None:
    books = [
        "<milestone/>",
        '<div canonical="true" osisID="Gen" sID="g1"/><chapter sID="Gen.1"/>Light.<chapter sID="Gen.2"/>Rest.',
        '<div canonical="true" osisID="1Macc" sID="g2"/><chapter sID="1Macc.1"/>Alexander.',
        "a fragment without a book",
    ]
    write_testament(tmp_path, "ot", books)
    assert list(read_testament(tmp_path, "ot")) == ["Light.", "Rest."]


def test_another_package_is_refused_with_both_digests(tmp_path: Path) -> None:
    (tmp_path / corpus.PACKAGE).write_bytes(b"something else")
    with pytest.raises(CorpusError) as refused:
        read_corpus(tmp_path)
    assert hashlib.sha256(b"something else").hexdigest() in str(refused.value)
    assert corpus.SHA256 in str(refused.value)
