"""The three most frequent words of /pfs/words, with their counts."""

from collections import Counter
from pathlib import Path

counts = Counter(word for text in Path("/pfs/words").iterdir() for word in text.read_text().split())
best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
Path("/pfs/out/top").write_text("".join(f"{count} {word}\n" for word, count in best))
