from demo.screen import one_line


def test_a_text_of_many_lines_is_shown_in_one() -> None:
    assert one_line(' "Go up."\n\nHe went up,\nand') == ' "Go up." / He went up, / and'
