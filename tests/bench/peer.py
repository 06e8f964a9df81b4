"""The peer counts: `python peer.py DETECTIONS.json`, run by the Python that has supervision; prints one JSON line.

ByteTrack as it comes (activation 0.25, match 0.8, buffer 30) told the real frame rate, and three rules over its tracks:
`once`, one count per track and line when the bottom centre changes sides (the strongest simple rule);
`linezone`, supervision's LineZone at the bottom centre; `corners`, LineZone as it comes.
"""

import json
import sys
from pathlib import Path

import numpy as np
import supervision as sv


def count(clip, rate):
    looks = clip["looks"]
    if rate:
        kept, due = [], 0.0
        for at, boxes in looks:
            if at + 1e-6 >= due:
                due = max(due + 1 / rate, at)
                kept.append((at, boxes))
        looks = kept
    tracker = sv.ByteTrack(
        track_activation_threshold=0.25,
        lost_track_buffer=30,
        minimum_matching_threshold=0.8,
        frame_rate=round(rate or clip["fps"]),
    )
    lines = {line["id"]: (line["p1"], line["p2"]) for line in clip["lines"]}
    bottom = {n: sv.LineZone(sv.Point(*a), sv.Point(*b), [sv.Position.BOTTOM_CENTER]) for n, (a, b) in lines.items()}
    corners = {n: sv.LineZone(sv.Point(*a), sv.Point(*b)) for n, (a, b) in lines.items()}
    once = {name: {"positive": 0, "negative": 0} for name in lines}
    before, done = {}, set()
    for _, boxes in looks:
        table = np.asarray(boxes, np.float32).reshape(-1, 6)
        seen = tracker.update_with_detections(
            sv.Detections(xyxy=table[:, :4], confidence=table[:, 4], class_id=table[:, 5].astype(int))
        )
        for name, (a, b) in lines.items():
            bottom[name].trigger(seen)
            corners[name].trigger(seen)
            for box, track in zip(seen.xyxy, seen.tracker_id, strict=True):
                x, y = (box[0] + box[2]) / 2, box[3]
                side = (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
                was = before.get((name, track))
                before[name, track] = side
                along = ((x - a[0]) * (b[0] - a[0]) + (y - a[1]) * (b[1] - a[1])) / (
                    (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
                )
                if was is None or (was > 0) == (side > 0) or not 0 <= along <= 1 or (name, track) in done:
                    continue
                done.add((name, track))
                once[name]["positive" if side > 0 else "negative"] += 1
    # supervision's "in" is what leaves our positive side: its vector runs the other way round
    return {
        "once": once,
        "linezone": {n: {"positive": z.out_count, "negative": z.in_count} for n, z in bottom.items()},
        "corners": {n: {"positive": z.out_count, "negative": z.in_count} for n, z in corners.items()},
    }


if __name__ == "__main__":
    clips = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rates = [None if rate == "None" else float(rate) for rate in sys.argv[2:]]
    print(json.dumps({name: {str(rate): count(clip, rate) for rate in rates} for name, clip in clips.items()}))
