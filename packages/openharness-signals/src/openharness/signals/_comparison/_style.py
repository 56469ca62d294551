"""The style sheet of the page of a comparison: for light and dark, for screens of any width, and for paper."""

from __future__ import annotations

from typing import Final

__all__ = ("STYLE",)

STYLE: Final = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --raised: #f6f7f9; --line: #dfe3e8; --ink: #1b1f24; --quiet: #5b6570; --link: #3556c8;
  --removed: #ffebe9; --removed-word: #ffc1bb; --removed-ink: #a0111f;
  --added: #e6f7ea; --added-word: #a8e6b8; --added-ink: #116329;
  --changed: #fff4d6; --changed-ink: #7a5200;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #101418; --raised: #181d23; --line: #2d343c; --ink: #e4e8ec; --quiet: #98a3ae; --link: #8ea8ff;
    --removed: #3a1719; --removed-word: #7d2a2e; --removed-ink: #ff9a94;
    --added: #12301c; --added-word: #1f6334; --added-ink: #7ee29a;
    --changed: #352a0e; --changed-ink: #f0c666;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { margin: 0 0 .25rem; font-size: 1.5rem; letter-spacing: -.01em; }
h2 { margin: 2.25rem 0 .75rem; font-size: 1.1rem; }
p { margin: .25rem 0; }
code, pre, .path, td.number { font-family: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace; }
code, .path { font-size: .87em; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); font-weight: 400; }
.badge {
  display: inline-block; padding: .05rem .5rem; border-radius: 1rem; font-size: .8rem; font-weight: 600;
  white-space: nowrap;
}
.badge.equal, .badge.added { background: var(--added); color: var(--added-ink); }
.badge.differ, .badge.removed { background: var(--removed); color: var(--removed-ink); }
.badge.changed { background: var(--changed); color: var(--changed-ink); }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: .75rem; margin-top: 1.25rem; }
.card { background: var(--raised); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; min-width: 0; }
.card + .card { margin-top: .75rem; }
.sides .card + .card { margin-top: 0; }
.first { border-left: 4px solid var(--changed-ink); }
.title { font-weight: 600; overflow-wrap: anywhere; }
.chain { margin: .4rem 0; padding: 0; list-style: none; font-size: .87rem; }
.chain li { display: inline; overflow-wrap: anywhere; }
.chain li + li::before { content: " \\2192  "; color: var(--quiet); }
.chain li:last-child { font-weight: 600; }
.difference { margin-top: .6rem; }
.card > .difference:first-child, .inside > .difference:first-child { margin-top: 0; }
.values { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; margin-top: .25rem; }
.values > * { min-width: 0; border-radius: .35rem; padding: .25rem .6rem; overflow-wrap: anywhere; white-space: pre-wrap; }
.values .left { background: var(--removed); }
.values .right { background: var(--added); }
pre.diff {
  margin: .35rem 0 0; padding: .4rem 0; border: 1px solid var(--line); border-radius: .35rem; background: var(--paper);
  font-size: .83rem; line-height: 1.5; white-space: pre-wrap; overflow-wrap: anywhere;
}
pre.diff span.row { display: block; padding: 0 .75rem 0 1.9rem; text-indent: -1.15rem; }
pre.diff .removed { background: var(--removed); }
pre.diff .added { background: var(--added); }
pre.diff .place { color: var(--quiet); }
pre.diff del { background: var(--removed-word); text-decoration: none; border-radius: .15rem; }
pre.diff ins { background: var(--added-word); text-decoration: none; border-radius: .15rem; }
details { border: 1px solid var(--line); border-radius: .5rem; margin-top: .4rem; background: var(--raised); }
summary { padding: .4rem .8rem; cursor: pointer; overflow-wrap: anywhere; }
summary:focus-visible { outline: 2px solid var(--link); border-radius: .5rem; }
details > .inside { padding: 0 .8rem .7rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 500; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
@media (max-width: 40rem) { .sides, .values { grid-template-columns: 1fr; } }
@media print { body { max-width: none; padding: 0; } .card, details { break-inside: avoid; } }
"""
