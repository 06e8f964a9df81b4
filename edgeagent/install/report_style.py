"""How a report looks: black on white, one A4 page when it is printed, one column on a phone."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
@page{size:A4;margin:9mm 10mm}
*{box-sizing:border-box;margin:0;padding:0}
html{-webkit-text-size-adjust:100%}
body{font:9pt/1.35 "Hiragino Sans","Noto Sans JP","Noto Sans CJK JP","Yu Gothic",Meiryo,system-ui,sans-serif;
color:#14202b;background:#eef1f4}
main{max-width:202mm;margin:0 auto;padding:6mm;background:#fff;display:flex;flex-direction:column;gap:2.4mm}
h1{font-size:17pt;line-height:1.2;overflow-wrap:anywhere}
h2{font-size:9pt;color:#0b3d5c;border-bottom:.3mm solid #0b3d5c;padding-bottom:.4mm;margin-bottom:.6mm;
display:flex;justify-content:space-between;gap:3mm}
small,h2 small{font-size:7pt;font-weight:400;color:#465563}
p,dd,td,th,li{overflow-wrap:anywhere}
code{font:7.2pt/1.35 ui-monospace,"DejaVu Sans Mono",Consolas,monospace}
header{display:flex;justify-content:space-between;gap:4mm;border-bottom:.7mm solid #0b3d5c;padding-bottom:1.6mm}
header .kind{color:#0b3d5c;font-weight:700;letter-spacing:.06em}
header .who b{font-size:11pt}
.qr{width:22mm;height:22mm;flex:none}
.alarm{border:.6mm solid #a30f0f;color:#a30f0f;font-weight:700;padding:.6mm 2mm}
.facts{display:grid;grid-template-columns:repeat(3,1fr);gap:.5mm 4mm;font-size:7.8pt;line-height:1.25}
.facts dt{color:#465563;font-size:6.8pt}
table{border-collapse:collapse;width:100%;font-size:7.8pt;line-height:1.25}
th,td{text-align:left;vertical-align:top;padding:.5mm 1.2mm .5mm 0;border-bottom:.15mm solid #c3ccd4;font-weight:400}
thead th{font-size:6.8pt;color:#465563;border-bottom:.3mm solid #7b8a97}
.devices thead th,.num{white-space:nowrap;font-variant-numeric:tabular-nums}
.num small{white-space:normal}
.devices td:nth-child(2) small{font-size:6.4pt}
.devices{table-layout:fixed;min-width:150mm}.devices thead th:nth-child(1){width:15%}
.devices thead th:nth-child(2){width:31%}.devices thead th:nth-child(3){width:10%}
.devices thead th:nth-child(4){width:19%}
.ok{color:#0d5f2c}.warning{color:#7a4a00}.failed{color:#a30f0f}.skipped{color:#465563}
span.ok,span.failed{font-weight:700;white-space:nowrap}
.figures{display:grid;grid-template-columns:repeat(2,1fr);gap:2mm 3mm}
.figures.n1{grid-template-columns:1fr}
.figures.n3,.figures.n5,.figures.n6{grid-template-columns:repeat(3,1fr)}
figure{border:.2mm solid #c3ccd4;padding:1mm;min-width:0;display:flex;flex-direction:column}
figure img,figure svg{width:100%;height:39mm;object-fit:contain;display:block}
.n3 figure img,.n3 figure svg{height:34mm}
.n4 figure img,.n4 figure svg{height:33mm}
.n5 figure img,.n5 figure svg,.n6 figure img,.n6 figure svg{height:28mm}
figcaption{font-size:7.4pt;line-height:1.25;margin-bottom:.4mm}
figure p{line-height:1.15}
.none{color:#465563;font-size:7.4pt;padding:1mm;background:#f4f6f8}
.doctor th[scope=row]{white-space:nowrap}
.doctor th,.doctor td{padding:.15mm 1.2mm .15mm 0}
.doctor tbody td.failed,.doctor tbody td.warning{font-weight:700}
.doctor ul{list-style:none;margin-top:.8mm;font-size:7pt;line-height:1.2;columns:2;column-gap:4mm}
.doctor li{break-inside:avoid;margin-bottom:.3mm}
.walk{font-size:7.8pt}
.photos{display:grid;grid-template-columns:repeat(3,1fr);gap:2mm 3mm;min-height:15mm}
.photos div{border:.25mm dashed #7b8a97;padding:.6mm 1mm;font-size:6.8pt;line-height:1.2;color:#465563}
footer{border-top:.3mm solid #0b3d5c;padding-top:1.2mm;font-size:7.2pt;line-height:1.3}
.hands{display:grid;grid-template-columns:1fr 1fr;gap:4mm;margin-bottom:1mm}
.hands div{border-bottom:.25mm solid #14202b;height:9mm;color:#465563}
@media screen{.photos{min-height:40mm}}
@media screen and (max-width:640px){main{padding:4mm}body{font-size:11pt}table,.facts,.walk{font-size:9pt}
.facts,.figures,.figures.n3,.figures.n5,.figures.n6,.hands{grid-template-columns:1fr}.wide{overflow-x:auto}
.doctor ul{columns:1;font-size:9pt}figure img,figure svg{height:auto!important}}
@media print{body{background:#fff}main{padding:0 .3mm;max-width:none;gap:1.7mm;
zoom:var(--fit);min-height:calc(277mm / var(--fit))}.photos{flex:1}
section,figure,tr,footer{break-inside:avoid}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
""".replace("\n", "")
