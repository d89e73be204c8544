"""The report's style sheet: light and dark by the reader's setting, a phone to a wide screen, and paper."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fdfcfa; --raised: #f5f3ee; --ink: #1d2125; --soft: #5b6269; --faint: #70777e; --rule: #e2dfd8; --rule-strong: #c9c5bc;
  --best: #0b6e69; --reference: #b4560d; --other: #5f6b7a; --outside: #98a0a9; --fault: #b3261e; --heat: 201 94 20;
  --s0: #5b8fc7; --s1: #e0a13f; --s2: #6aab7b; --s3: #c9746b; --s4: #9a84c4; --s5: #4fa8ad; --s6: #c78bb0; --s7: #a99b5a;
  --on-stage: #14181c; --transition: #ccc8bf;
  --v0: #c6cdd4; --v1: #4d7fae; --v2: #7a5aa8; --v3: #8b8430; --v4: #b25a86; --v5: #3f8f8a; --v6: #a0522d; --v7: #6b7280;
  --sans: "Inter", system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --serif: "Iowan Old Style", Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --raised: #1c2024; --ink: #e8e6e1; --soft: #a9aeb4; --faint: #7d848b; --rule: #2b3035; --rule-strong: #444b52;
    --best: #4cc4b8; --reference: #eb9a52; --other: #93a1b2; --outside: #6d7782; --fault: #ff8a80; --heat: 224 122 48;
    --s0: #5585b8; --s1: #c98f38; --s2: #5b9a6c; --s3: #b9675f; --s4: #8a76b5; --s5: #45979c; --s6: #b37a9d; --s7: #978a4f;
    --on-stage: #0c0f12; --transition: #3d4349;
    --v0: #434b53; --v1: #6ba6da; --v2: #a98bd6; --v3: #bdb455; --v4: #d98bb2; --v5: #5fb8b2; --v6: #cf8a63; --v7: #9aa1aa;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 var(--sans); font-variant-numeric: tabular-nums; -webkit-font-smoothing: antialiased;
}
.page { max-width: 72rem; margin: 0 auto; padding: clamp(1.25rem, 4vw, 3.5rem) clamp(1rem, 4vw, 3rem) 4rem; }
a { color: inherit; text-decoration-color: var(--rule-strong); text-underline-offset: .2em; }
:focus-visible { outline: 2px solid var(--best); outline-offset: 3px; }
p { margin: 0 0 1em; max-width: 44rem; }
sub { font-size: .75em; line-height: 0; }

header .kicker { margin: 0 0 1.4rem; color: var(--soft); font-size: .875rem; max-width: none; overflow-wrap: anywhere; }
h1, h2 { font-family: var(--serif); font-weight: 600; letter-spacing: -.012em; text-wrap: balance; }
h1 { margin: 0 0 1rem; max-width: 20em; font-size: clamp(1.9rem, 1.3rem + 2.8vw, 3.1rem); line-height: 1.12; overflow-wrap: break-word; }
h2 { margin: 0 0 .4rem; font-size: clamp(1.35rem, 1.2rem + .7vw, 1.7rem); line-height: 1.25; }
h3 { margin: 0 0 .15rem; font-size: 1rem; font-weight: 600; line-height: 1.4; overflow-wrap: anywhere; }
.lede { font-size: clamp(1.02rem, .98rem + .25vw, 1.16rem); color: var(--ink); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0 2rem; margin: 2rem 0 0; padding: 0; }
.facts div { border-top: 2px solid var(--ink); padding: .55rem 0 1.1rem; }
.facts dt { color: var(--soft); font-size: .8125rem; line-height: 1.35; }
.facts dd { margin: .1rem 0 0; }
.facts dd small { font: 500 1rem var(--sans); letter-spacing: 0; }
.facts dd b { display: block; font: 600 1.75rem/1.2 var(--serif); letter-spacing: -.01em; }
.facts dd span { color: var(--soft); font-size: .8125rem; }
nav { margin: 1.2rem 0 0; padding: .8rem 0; border-block: 1px solid var(--rule); font-size: .875rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.3rem; margin: 0; padding: 0; list-style: none; }
nav a { text-decoration: none; color: var(--soft); }
nav a:hover { color: var(--ink); text-decoration: underline; }
section { margin-top: clamp(2.5rem, 5vw, 4rem); scroll-margin-top: 1rem; }
section > p { color: var(--soft); }

figure { margin: 1.4rem 0 0; }
figcaption p { margin: 0 0 .9rem; color: var(--soft); font-size: .875rem; }
details { margin-top: .9rem; font-size: .875rem; }
summary { display: inline-block; cursor: pointer; color: var(--soft); padding: .15rem 0; }
summary::before { content: "+"; display: inline-block; width: 1.3em; color: var(--faint); }
details[open] > summary::before { content: "–"; }
summary:hover { color: var(--ink); }

.scroll { overflow-x: auto; margin-inline: -.25rem; padding-inline: .25rem; }
table { border-collapse: collapse; font-size: .8125rem; line-height: 1.35; }
caption { text-align: left; color: var(--soft); padding: .4rem 0; caption-side: bottom; font-size: .8125rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: min(60rem, calc(100vw - 2.5rem)); }
th, td { padding: .42rem .5rem; text-align: right; white-space: nowrap; font-weight: 400; border-bottom: 1px solid var(--rule); }
.figures th, .figures td { padding-inline: .42rem; }
th:first-child { text-align: left; padding-left: 0; position: sticky; left: 0; background: var(--paper); }
thead th { color: var(--soft); vertical-align: bottom; border-bottom-color: var(--rule-strong); }
tbody tr:last-child > * { border-bottom-color: var(--rule-strong); }
.figures { width: 100%; }
.figures thead tr:first-child th { border-bottom: 0; padding-bottom: .1rem; color: var(--ink); font-weight: 600; }
.figures th.over { text-align: center; }
.figures th.over {
  background: linear-gradient(var(--rule-strong), var(--rule-strong)) 1.1rem 100% / 100% 1px no-repeat;
}
.figures td.first, .figures th.first { padding-left: 1.1rem; }
tr.best > * { color: var(--best); font-weight: 600; }
tr.outside > * { color: var(--soft); }
td.fault { color: var(--fault); font-weight: 600; }
.figures th:first-child { min-width: 8.5rem; max-width: 15rem; white-space: normal; overflow-wrap: anywhere; }
.tagged { white-space: nowrap; color: var(--faint); font-weight: 400; font-size: .75rem; }
.heat { width: 100%; } .heat tbody tr > * { border-bottom: 1px solid var(--paper); }
.heat td { min-width: 4.4rem; background: rgb(var(--heat) / var(--h, 0)); color: var(--ink); }
.heat th:first-child { max-width: 20rem; overflow: hidden; text-overflow: ellipsis; }
.heat th.best { color: var(--best); font-weight: 600; } .heat th.reference:not(.best) { color: var(--reference); font-weight: 600; }
.heat td.count { background: none; color: var(--soft); }
.heat thead th { white-space: normal; max-width: 8rem; }

.best { --c: var(--best); } .reference { --c: var(--reference); } .other { --c: var(--other); } .outside { --c: var(--outside); }
.best.reference { --c: var(--best); }
svg { display: block; overflow: visible; }
svg svg { overflow: hidden; }
svg text { fill: var(--soft); font: 11px var(--sans); font-variant-numeric: tabular-nums; }
.tick { text-anchor: middle; } .tick.end { text-anchor: end; }
.grid { stroke: var(--rule); stroke-width: 1; } .axis { stroke: var(--rule-strong); stroke-width: 1; }
.mark { stroke: var(--reference); stroke-width: 1; stroke-dasharray: 3 3; }
.rows { max-width: 60rem; }
.row { display: grid; grid-template-columns: minmax(7rem, 12rem) 1fr 8.5rem; gap: 0 1rem; align-items: center; }
.rows.wide .row { grid-template-columns: minmax(7rem, 12rem) 1fr; } .rows.wide .value { display: none; }
.rows.wide .strip { margin-block: 2px; }
.row .name { font-size: .875rem; line-height: 1.25; overflow-wrap: anywhere; padding-block: 2px; }
.row .name small { display: block; color: var(--faint); font-size: .75rem; }
.row .value { font-size: .875rem; color: var(--soft); white-space: nowrap; text-align: right; }
.row .strip { width: 100%; }
.row.best .name, .row.best .value { color: var(--best); font-weight: 600; }
.row.reference:not(.best) .name { color: var(--reference); font-weight: 600; }
.row.outside .name { color: var(--soft); }
.interval { fill: var(--c); opacity: .22; } .dot { fill: var(--c); opacity: .62; } .mean { stroke: var(--c); stroke-width: 2.5; }
.outside .dot { fill: none; stroke: var(--c); opacity: 1; }
.beyond { text-anchor: end; fill: var(--fault); }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15.5rem, 100%), 1fr)); gap: 1.4rem 2rem; }
.panel { padding: 0 .4rem 1.3rem 2rem; min-width: 0; }
.panel .head {
  display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 .8rem; margin: 0 0 .55rem -2rem;
  font-size: .8125rem; line-height: 1.35;
}
.panel .head b { font-weight: 600; overflow-wrap: anywhere; } .panel .head span { color: var(--soft); }
.panel.best .head b { color: var(--best); } .panel.reference:not(.best) .head b { color: var(--reference); }
.pair .panels { grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
.pair .panel, .single .panel { padding-left: 2.6rem; }
.pair .panel .head { margin-left: -2.6rem; } .single .panels { grid-template-columns: minmax(0, 60rem); }
.plot { width: 100%; }
polyline { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
polyline.own { stroke: var(--c); stroke-width: 1.8; } polygon.own { fill: var(--c); opacity: .2; }
polyline.compared { stroke: var(--reference); stroke-width: 1; stroke-dasharray: 3 2; opacity: .9; }
polyline.due { stroke: var(--ink); stroke-width: 1; } polygon.between { fill: var(--c); opacity: .28; }
.legend, .pictograms { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: 0 0 .9rem; padding: 0; list-style: none; }
.legend, .pictograms { font-size: .8125rem; color: var(--soft); }
.legend i, .pictograms i {
  display: inline-block; width: .8em; height: .8em; margin-right: .45em; border-radius: 2px; vertical-align: -.04em;
  background: var(--c);
}
.legend i.line { height: 0; width: 1.4em; border-radius: 0; border-top: 2px solid var(--c); vertical-align: .25em; background: none; }
.legend i.dashed { border-top: 1.5px dashed var(--reference); } .legend i.due { --c: var(--ink); border-top-width: 1px; }
.legend i.area { opacity: .3; } .legend i.round { border-radius: 50%; } .legend i.tall { width: 3px; height: 1em; border-radius: 0; }
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); }
.s4 { --c: var(--s4); } .s5 { --c: var(--s5); } .s6 { --c: var(--s6); } .s7 { --c: var(--s7); } .transition { --c: var(--transition); }
.v0 { --c: var(--v0); } .v1 { --c: var(--v1); } .v2 { --c: var(--v2); } .v3 { --c: var(--v3); }
.v4 { --c: var(--v4); } .v5 { --c: var(--v5); } .v6 { --c: var(--v6); } .v7 { --c: var(--v7); }
.strip path, .strip rect[class^="v"] { fill: var(--c); }
.stages text { fill: var(--on-stage); text-anchor: middle; font-size: 10.5px; }
.pictograms { gap: .6rem 1.4rem; }
.pictograms span { display: block; text-align: center; margin-top: .2rem; }
.road { stroke: var(--rule); stroke-width: 11; } .arrow { fill: none; stroke: var(--ink); stroke-width: 1.6; } .head { fill: var(--ink); }
.pictograms li { max-width: 13rem; } .pictograms small { display: block; margin-top: .2rem; line-height: 1.35; }
.pictograms svg { margin-inline: auto; } .walk { stroke: var(--soft); stroke-width: 3; stroke-dasharray: 1.4 1.2; }
.permissive { stroke-dasharray: 2.4 2; }
.provenance { display: grid; grid-template-columns: minmax(7rem, 11rem) 1fr; gap: .35rem 1rem; margin: 1rem 0 0; font-size: .875rem; }
.provenance dt { color: var(--soft); } .provenance dd { margin: 0; overflow-wrap: anywhere; }
code { font: .8125rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
code span { display: inline-block; max-width: 100%; }
section > .scroll + p { margin-top: 1rem; font-size: .875rem; }
.collapses {
  margin: 0 0 1em; padding: .6rem 0 .6rem 1rem; border-left: 3px solid var(--fault); list-style: none; color: var(--fault);
  font-weight: 600; max-width: 60rem;
}
.plainlist { margin: .5rem 0 0; padding-left: 1.2rem; font-size: .875rem; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--rule); color: var(--faint); font-size: .8125rem; }

@media (max-width: 40rem) {
  .row { grid-template-columns: 1fr auto; gap: 0 .75rem; padding-top: .35rem; }
  .row .strip { grid-column: 1 / -1; grid-row: 2; }
  .row .name small { display: inline; margin-left: .6em; }
  .rows { padding-inline: .3rem; }
  .rows.wide .row { grid-template-columns: 1fr; } .row.foot { padding: 0; } .row.foot > div { display: none; }
  .facts { grid-template-columns: 1fr 1fr; gap: 0 1.2rem; }
  .provenance { grid-template-columns: 1fr; gap: 0; } .provenance dd { margin-bottom: .6rem; }
  th:first-child, .heat th:first-child, .figures th:first-child {
    min-width: 6.5rem; max-width: 8.5rem; white-space: normal; overflow-wrap: break-word;
  }
}
@media print {
  @page { margin: 14mm; }
  body { font-size: 9.5pt; background: none; } .page { max-width: none; padding: 0; }
  nav, details:not([open]) { display: none; }
  section { margin-top: 2rem; } h2, h3, figcaption { break-after: avoid; }
  .row, .rows, .panel, tr, .facts div { break-inside: avoid; } footer { margin-top: 1rem; padding-top: .4rem; }
  h1 { font-size: 22pt; } .facts { grid-template-columns: repeat(4, 1fr); }
  .panels { grid-template-columns: repeat(3, 1fr); } .scroll { overflow: visible; }
  table { font-size: 6.8pt; } th, td { padding: 2pt 3pt; } .figures td.first, .figures th.first { padding-left: 5pt; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
"""
