"""`python -m tests.preview.pictures OUT`: the recorded previews as pictures, to be looked at.

Renders the comments to HTML with a style like GitHub's and photographs them with Chromium. What is checked by eye:
that it reads well. Needs `chromium` on PATH and a font with emoji.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt

from preview.comment import write
from tests.preview.records import read

PICTURES = {
    "first": ["first"],
    "maximum-raised": ["raised"],
    "size-changed": ["resized"],
    "pool-and-share-removed": ["removed"],
    "policy-failure": ["refused"],
    "program-error": ["program_error"],
    "hundred-pools": ["pools100"],
    "several": ["raised", "refused", "no_yaml"],
}
HEIGHTS = {
    "first": 775,
    "maximum-raised": 1390,
    "size-changed": 1590,
    "pool-and-share-removed": 760,
    "program-error": 400,
}
"""Pixels; other comments are cut at 1,300."""

OPENED = {"maximum-raised", "size-changed"}
"""Pictures with the folds open."""

_STYLE = """
body { font: 14px/1.5 -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif, "Noto Color Emoji";
  color: #1f2328; width: 880px; margin: 16px; }
.comment { border: 1px solid #d1d9e0; border-radius: 6px; padding: 16px; }
h3 { margin: 0 0 16px; font-size: 1.25em; }
table { border-collapse: collapse; margin: 0 0 16px; font-size: 14px; }
th, td { border: 1px solid #d1d9e0; padding: 6px 13px; }
tr:nth-child(2n) { background: #f6f8fa; }
code { background: #818b981f; border-radius: 6px; padding: .2em .4em;
  font: 12px ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: #f6f8fa; border-radius: 6px; padding: 16px; overflow: hidden; }
pre code { background: none; padding: 0; }
blockquote.caution { border-left: .25em solid #cf222e; margin: 0 0 16px; padding: 0 1em; }
blockquote.caution b.title { color: #d1242f; }
ul { padding-left: 2em; } summary { cursor: pointer; margin-bottom: 8px; }
.plus { background: #dafbe1; color: #116329; display: block; }
.minus { background: #ffebe9; color: #82071e; display: block; }
.hunk { color: #8250df; font-weight: bold; display: block; }
"""


def main() -> int:
    """Write one PNG for each picture."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, records in PICTURES.items():
        comment = write(
            [read(record) for record in records],
            run_url="https://github.com/example/platform/actions/runs/1",
            commit="5d087e3aa1",
        ).comment
        picture(comment, out / f"{name}.png", HEIGHTS.get(name, 1300), opened=name in OPENED)
        print(
            f"{name}: {len(comment.encode()):,} bytes of Markdown, {(out / f'{name}.png').stat().st_size:,} of picture"
        )
    return 0


def picture(comment: str, target: Path, height: int, *, opened: bool) -> None:
    """Photograph one comment."""
    body = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(comment)
    body = body.replace("<p>[!CAUTION]</p>", '<p><b class="title">Caution</b></p>').replace("[!CAUTION]\n", "")
    body = body.replace("<blockquote>", '<blockquote class="caution">')
    body = re.sub(
        r'<code class="language-diff">(.*?)</code>',
        lambda found: f"<code>{_coloured(found[1])}</code>",
        body,
        flags=re.S,
    )
    if opened:
        body = body.replace("<details>", "<details open>")
    page = f'<meta charset="utf-8"><style>{_STYLE}</style><div class="comment">{body}</div>'
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(page, encoding="utf-8")
        subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                f"--user-data-dir={folder}/profile",
                f"--window-size=930,{height}",
                f"--screenshot={target}",
                file.as_uri(),
            ],
            capture_output=True,
            check=True,
            timeout=120,
        )


def _coloured(text: str) -> str:
    kinds = {"+": "plus", "-": "minus", "@": "hunk"}
    lines = text.split("\n")
    return "".join(
        f'<span class="{kinds[line[0]]}">{line}</span>' if line[:1] in kinds else f"{line}\n" for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
