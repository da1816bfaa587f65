"""A few SVG elements as text. Knows shapes and words, nothing of plans."""

from html import escape


class Svg:
    """Elements in the order in which they are drawn. Sizes are pixels; `style` names a class of the picture's style."""

    def __init__(self) -> None:
        self._elements: list[str] = []

    def rect(
        self, x: float, y: float, width: float, height: float, *, fill: str = "", style: str = "", title: str = ""
    ) -> None:
        """A rectangle; a reader who points at it is shown `title`."""
        size = f'x="{x:.5g}" y="{y:.6g}" width="{width:.5g}" height="{height:.5g}"'
        shape = f"<rect {size}{_attribute('class', style)}{_attribute('fill', fill)}"
        self._elements.append(f"{shape}><title>{escape(title)}</title></rect>" if title else f"{shape}/>")

    def text(self, x: float, y: float, words: str, *, style: str = "", anchor: str = "", colour: str = "") -> None:
        """One line; `y` is its base line. `anchor`: which end of it stands at `x`, its start when left out."""
        look = "".join(
            (_attribute("class", style), _attribute("text-anchor", anchor), f' style="fill:{colour}"' if colour else "")
        )
        self._elements.append(f'<text x="{x:.5g}" y="{y:.6g}"{look}>{escape(words)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, *, style: str) -> None:
        self._elements.append(
            f'<line x1="{x1:.5g}" y1="{y1:.6g}" x2="{x2:.5g}" y2="{y2:.6g}"{_attribute("class", style)}/>'
        )

    def document(self, width: float, height: float, css: str) -> str:
        """The whole file: the elements on a paper of that size, which is drawn with the style `paper`."""
        size = f'width="{width:.0f}" height="{height:.0f}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:.0f} {height:.0f}">'
        paper = f'<rect x="0" y="0" {size} class="paper"/>'
        return "\n".join([head, f"<style>{css}</style>", paper, *self._elements, "</svg>", ""])


def _attribute(name: str, value: str) -> str:
    return f' {name}="{value}"' if value else ""
