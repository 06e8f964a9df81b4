"""How a report looks: black on white, one A4 page when it is printed, one column on a phone."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
@page{size:A4;margin:9mm 10mm}
*{box-sizing:border-box;margin:0;padding:0}
html{-webkit-text-size-adjust:100%}
body{font:9pt/1.35 "Hiragino Sans","Noto Sans JP","Noto Sans CJK JP","Yu Gothic",Meiryo,system-ui,sans-serif;
color:#14202b;background:#eef1f4}
main{max-width:190mm;margin:0 auto;padding:6mm;background:#fff;display:flex;flex-direction:column;gap:2.6mm}
h1{font-size:16pt;line-height:1.2;overflow-wrap:anywhere}
h2{font-size:9pt;color:#0b3d5c;border-bottom:.3mm solid #0b3d5c;padding-bottom:.4mm;margin-bottom:1mm;
display:flex;justify-content:space-between;gap:3mm}
h2 small{font-weight:400;color:#465563}
small{font-size:7pt;color:#465563}
p,dd,td,th,li{overflow-wrap:anywhere}
code{font:7.2pt/1.35 ui-monospace,"DejaVu Sans Mono",Consolas,monospace}
header{display:flex;justify-content:space-between;gap:4mm;border-bottom:.7mm solid #0b3d5c;padding-bottom:2mm}
header .kind{color:#0b3d5c;font-weight:700;letter-spacing:.06em}
header .who b{font-size:11pt}
.qr{width:25mm;height:25mm;flex:none}
.alarm{border:.6mm solid #a30f0f;color:#a30f0f;font-weight:700;padding:1mm 2mm}
.facts{display:grid;grid-template-columns:repeat(3,1fr);gap:.6mm 4mm;font-size:7.8pt}
.facts dt{color:#465563;font-size:6.8pt}
table{border-collapse:collapse;width:100%;font-size:7.8pt}
th,td{text-align:left;vertical-align:top;padding:.5mm 1.2mm;border-bottom:.15mm solid #c3ccd4;font-weight:400}
thead th{font-size:6.8pt;color:#465563;border-bottom:.3mm solid #7b8a97}
.num{font-variant-numeric:tabular-nums}
td small{line-height:1.2}
.ok{color:#0d5f2c}.warning{color:#7a4a00}.failed{color:#a30f0f}.skipped{color:#465563}
span.ok,span.failed{font-weight:700;white-space:nowrap}
.figures{display:grid;grid-template-columns:repeat(2,1fr);gap:2mm 4mm}
.figures.n1{grid-template-columns:1fr}
.figures.n3,.figures.n5,.figures.n6{grid-template-columns:repeat(3,1fr)}
figure{border:.2mm solid #c3ccd4;padding:1mm;min-width:0;display:flex;flex-direction:column}
figure img,figure svg{width:100%;height:42mm;object-fit:contain;display:block}
.n3 figure img,.n3 figure svg{height:36mm}
.n4 figure img,.n4 figure svg{height:27mm}
.n5 figure img,.n5 figure svg,.n6 figure img,.n6 figure svg{height:23mm}
figcaption{font-size:7.4pt;margin-bottom:.6mm}
figure p{line-height:1.2}
.none{color:#465563;font-size:7.4pt;padding:1mm;background:#f4f6f8}
.two{display:grid;grid-template-columns:1.15fr 1fr;gap:4mm}
.doctor td.num,.doctor thead th{text-align:right}
.doctor th,.doctor td{padding:.2mm 1.2mm}
.doctor ul{list-style:none;margin-top:1mm;font-size:7pt;line-height:1.25}
.side p{font-size:7.8pt;margin-bottom:1.6mm}
.photos{display:grid;grid-template-columns:repeat(3,1fr);gap:2mm}
.photos div{border:.25mm dashed #7b8a97;height:26mm;padding:1mm;font-size:6.8pt;color:#465563}
footer{border-top:.3mm solid #0b3d5c;padding-top:1.6mm;font-size:7.2pt}
.hands{display:grid;grid-template-columns:1fr 1fr;gap:4mm;margin-bottom:1.4mm}
.hands div{border-bottom:.25mm solid #14202b;height:11mm;color:#465563}
@media screen and (max-width:640px){main{padding:4mm}.facts,.figures,.figures.n3,.figures.n5,.figures.n6,.two,
.hands{grid-template-columns:1fr}body{font-size:11pt}table{font-size:9pt}.devices thead{display:none}
.devices tr{display:block;border-bottom:.3mm solid #7b8a97}.devices th,.devices td{display:inline-block;border:0}
figure img,figure svg,.n3 figure img,.n3 figure svg,.n4 figure img,.n4 figure svg{height:auto}}
@media print{body{background:#fff}main{padding:0;max-width:none;gap:2mm}section,figure,tr,footer{break-inside:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
""".replace("\n", "")
