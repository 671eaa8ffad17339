"""The words that count, and how much. No WIT here."""

# Scores from -4 to 4.
WORDS = {
    word: score
    for score, words in {
        4: "outstanding superb magnificent",
        3: "amazing awesome brilliant delight delighted delightful excellent fantastic love loved loves masterpiece "
        "perfect perfectly thrilled wonderful",
        2: "beautiful best better calm cheerful clear clever elegant enjoy enjoyed fine friendly fun glad good great "
        "happy helpful honest impressive improved improvement kind lovely nice pleasant pleased pretty proud "
        "quick quickly reliable safe smart smooth solid steady strong success successful thank thanks useful "
        "win wins won",
        1: "accept agree bright cool easy fair fast gentle hope interesting like liked likes neat ok okay "
        "peaceful quiet ready rich simple sure warm welcome yes",
        -1: "blame cold doubt hard late loud mess noisy odd old rough rude slow small sorry strange stuck tired "
        "uneven unsure",
        -2: "angry annoyed annoying bad bored boring broken complain confused confusing crash crashed damage dirty "
        "disappointed disappointing dull error errors fail failed fails failure fear hurt lose losing lost "
        "missing pain poor poorly problem problems sad sick sloppy tedious ugly unhappy useless waste weak worry "
        "worse wrong",
        -3: "awful cruel dangerous dead destroy destroyed disaster disgusting dreadful hate hated hates horrible "
        "nightmare terrible terribly worst",
        -4: "catastrophe catastrophic hideous",
    }.items()
    for word in words.split()
}

# Words that turn what follows round.
NEGATIONS = frozenset(
    "not no never none nobody nothing neither nor without hardly barely scarcely cannot can't don't doesn't didn't isn't "
    "aren't wasn't weren't won't wouldn't couldn't shouldn't hasn't haven't hadn't ain't".split()
)

# Words that strengthen or weaken what follows, by this part of its score.
DEGREES = {
    **dict.fromkeys("very really extremely absolutely incredibly so totally truly utterly completely deeply".split(), 0.3),
    **dict.fromkeys("quite rather pretty fairly".split(), 0.1),
    **dict.fromkeys("slightly somewhat little barely hardly marginally partly".split(), -0.4),
}
