"""The glob grammar: a table of what is known, and a naive matcher as the oracle.

The oracle works on generated syntax trees, which are rendered to patterns, and
computes the set of positions where a match may end: no regular expressions, no
backtracking, no code of the product.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.model.glob import Glob
from pachybox.model.glob_machine import Machine
from pachybox.model.glob_syntax import parse
from pachybox.model.ignore import Ignore
from tests.examples import many

TABLE = [
    # pattern, path, groups or None
    ("/", "/", ()),
    ("", "/", ()),
    ("/", "/a", None),
    ("/*", "/", None),
    ("/**", "/", None),
    ("/{,a}", "/", None),
    ("*", "/a", ()),
    ("/a/", "/a", ()),
    ("//a//*/", "/a/b", ()),
    ("/*", "/a/b", None),
    ("/**", "/a/b", ()),
    ("/**.csv", "/a/b/c.csv", ()),
    ("/a**", "/a/b", ()),
    ("/a/**/b", "/a/x/y/b", ()),
    ("/a/**/b", "/a/b", None),
    ("/?", "/é", ()),
    ("/a?b", "/a/b", None),
    ("/[abc]", "/b", ()),
    ("/[a-c]", "/d", None),
    ("/[!a-c]", "/d", ()),
    ("/[^a-c]", "/b", None),
    ("/x[!a]y", "/x/y", ()),
    ("/[!a]*", "/b/c", None),
    ("/[\\]\\-a]", "/-", ()),
    ("/[a-]", "/-", ()),
    ("/[[:digit:]x]", "/7", ()),
    ("/[[:^alpha:]]", "/7", ()),
    ("/[^[:alpha:]]", "/7", ()),
    ("/[![:^alpha:]]", "/7", None),
    ("/[&&~~||.[-]", "/~", ()),
    ("/{a,b}/*", "/b/x", ()),
    ("/{a,{b,c},}x", "/x", ()),
    ("/{a,b/c}/d", "/b/c/d", ()),
    ("/a,b", "/a,b", ()),
    ("/{a|b,c}", "/a|b", ()),
    ("/(a,b|c)", "/a,b", ("a,b",)),
    ("/a|b", "/a|b", ()),
    ("/]}),|", "/]}),|", ()),
    ("/\\*\\?\\(", "/*?(", ()),
    ("/a\\/b", "/a/b", ()),
    ("/a!b^c@d+e", "/a!b^c@d+e", ()),
    ("/a@", "/a@", ()),
    ("/(a|b)", "/b", ("b",)),
    ("/@(a|b)x", "/ax", ("a",)),
    ("/a?(b|c)", "/a", ("",)),
    ("/a?(b|c)", "/ac", ("c",)),
    ("/a*(b|c)", "/abcb", ("bcb",)),
    ("/a**(b|c)", "/axbc", ("",)),
    ("/a+(b|c)", "/a", None),
    ("/a+(b|c)", "/abc", ("bc",)),
    ("/t*(/?(+(a|b)/*.go))", "/t/a/x.go", ("/a/x.go", "a/x.go", "a")),
    ("/*/(*).txt", "/ID1/file3.txt", ("file3",)),
    ("/((*)-(*))/*", "/x-y/z", ("x-y", "x", "y")),
    ("/!(foo)", "/foo", None),
    ("/!(foo)", "/foobar", ("foobar",)),
    ("/!(foo)*", "/foobar", None),
    ("/!(*.js|*.json)", "/a.js", None),
    ("/!(*.js|*.json)", "/a.js.gz", ("a.js.gz",)),
    ("/!(foo)/x", "/bar/x", ("bar",)),
    ("/!(x)", "/foo/bar", None),
    ("/*.!(js)", "/a.b.js", ("b.js",)),
    ("/!(!(foo))", "/foo", ("foo", "")),
    ("/*(!(f))", "/f", None),
    ("/a!(x)", "/a", ("",)),
    ("/*(*(f)*(o))", "/fffooofoooof", ("fffooofoooof", "f", "")),
    ("/*(*(of*(o)x)o)", "/ofoooxoofxoofoooxoofxofo", None),
    ("/*(*(of*(o)x)o)", "/ofxoofxo", ("ofxoofxo", "ofx", "")),
    ("/a\n*", "/a\nb", ()),
    ("/a", "/a\n", None),
]


@pytest.mark.parametrize(("pattern", "path", "groups"), TABLE)
def test_the_grammar_by_example(pattern: str, path: str, groups: tuple[str, ...] | None) -> None:
    glob = Glob(pattern)
    match = glob.match(path)
    assert glob.matches(path) == (groups is not None)
    if groups is None:
        assert match is None
    else:
        assert match is not None
        assert len(match.groups) == glob.captures == len(groups)
        if "*(*" not in pattern:  # what nested repetitions keep is not promised
            assert match.groups == groups


@pytest.mark.parametrize(
    ("pattern", "position", "remedy"),
    [
        ("/{a,b", 2, "}"),
        ("/a(b|c", 3, ")"),
        ("/a+(b", 3, ")"),
        ("//x/[ab", 5, "]"),
        ("/[]", 2, "\\]"),
        ("/[!]", 2, "\\]"),
        ("/[z-a]", 4, "a-z"),
        ("/[[:nope:]]", 3, "alpha"),
        ("/a\\", 3, "\\\\"),
        ("/^(a)", 2, "!("),
        ("/a/../b", 4, "root"),
        ("/./b", 2, "root"),
        ("/" + "(" * 40 + ")" * 40, 34, "patterns"),
    ],
)
def test_a_bad_pattern_is_refused_with_position_and_remedy(
    pattern: str, position: int, remedy: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Glob(pattern)
    assert f"at position {position}" in caught.value.message
    assert pattern[:10] in caught.value.message
    assert remedy in caught.value.hint


@pytest.mark.parametrize("pattern", ["/a\0", "/\udc80", "/" + "a" * 9000])
def test_a_pattern_that_no_path_could_match_for_its_characters_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument):
        Glob(pattern)


@pytest.mark.parametrize(
    ("template", "want"),
    [
        ("$1", "one"),
        ("${2}x", "twox"),
        ("$2-$1", "two-one"),
        ("$0", "/one/two"),
        ("$3${9}", ""),
        ("$$1", "$1"),
        ("$a ${x} $", "$a ${x} $"),
        ("\\1", "\\1"),
    ],
)
def test_a_replacement_template_takes_captures_by_number(template: str, want: str) -> None:
    glob = Glob("/(*)/(*)")
    match = glob.match("/one/two")
    assert match is not None
    assert glob.expand(template, match) == want


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/" + "*a" * 20 + "b", "/" + "a" * 250),
        ("/" + "**a" * 200 + "b", "/" + "a/" * 400 + "c"),
        ("/*(*a)b", "/" + "a" * 250),
        ("/+(a|aa)b", "/" + "a" * 250),
        ("/*(a|[ab])c", "/" + "a" * 250),
        ("/" + "?(a)" * 30 + "b", "/" + "a" * 30),
        ("/" + "{a,aa}" * 30 + "b", "/" + "a" * 40),
        ("/**a**a**a**b", "/" + "a/" * 1900 + "c"),
        ("/!(*a*a*a*a*b)c", "/" + "a" * 250),
        ("/*(!(*x)y)z", "/" + "ay" * 120),
    ],
)
def test_no_pattern_hangs_on_an_unlucky_path(pattern: str, path: str) -> None:
    began = time.process_time()
    assert not Glob(pattern).matches(path)
    assert time.process_time() - began < 2


# the oracle

# ("text", s) ("star",) ("globstar",) ("one",) ("set", negated, chars) ("group", op, choices)
Tree = Any
PLAIN = "ab*"


def sequences(groups: st.SearchStrategy[Tree]) -> st.SearchStrategy[list[Tree]]:
    return st.lists(
        st.one_of(
            st.sampled_from([("text", c) for c in [*PLAIN, "/", "/"]]),
            st.sampled_from([("star",), ("globstar",), ("one",)]),
            st.tuples(st.just("set"), st.booleans(), st.text("ab*/]-", min_size=1, max_size=2)),
            groups,
        ),
        max_size=4,
    ).map(tidy)


def tidy(nodes: list[Tree]) -> list[Tree]:
    """No two slashes or wildcards in a row, which cleaning or lexing would merge."""
    kept: list[Tree] = []
    for node in nodes:
        wild = node[0] in ("star", "globstar")
        if kept and node == kept[-1] == ("text", "/"):
            continue
        if kept and wild and kept[-1][0] in ("star", "globstar"):
            continue
        kept.append(node)
    return kept


GROUPS: st.SearchStrategy[Tree] = st.recursive(
    st.tuples(
        st.just("group"),
        st.sampled_from("{@?*+!"),
        st.lists(sequences(st.just(("text", "a"))), min_size=1, max_size=3),
    ),
    lambda inner: st.tuples(
        st.just("group"),
        st.sampled_from("{@?*+!"),
        st.lists(sequences(inner), min_size=1, max_size=2),
    ),
    max_leaves=3,
)
PATTERNS = sequences(GROUPS).map(
    lambda nodes: [
        ("text", "/"),
        *nodes[nodes[:1] == [("text", "/")] : len(nodes) - (nodes[-1:] == [("text", "/")])],
    ]
)
PATHS = st.lists(st.text(PLAIN + "]-", min_size=1, max_size=4), max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)


def render(nodes: list[Tree]) -> str:
    out = ""
    for node in nodes:
        if node[0] == "text":
            out += "\\*" if node[1] == "*" else node[1]
        elif node[0] == "set":
            chars = "".join("\\" + c if c in "]-" else c for c in node[2])
            out += f"[{'!' if node[1] else ''}{chars}]"
        elif node[0] == "group" and node[1] == "{":
            out += "{" + ",".join(map(render, node[2])) + "}"
        elif node[0] == "group":
            out += node[1] + "(" + "|".join(map(render, node[2])) + ")"
        else:
            out += {"star": "*", "globstar": "**", "one": "?"}[node[0]]
    return out


def bounded_negation(nodes: list[Tree]) -> int | None:
    """Identity of the last negation to close, unless text, * or ** comes after it."""
    last: int | None = None

    def visit(sequence: list[Tree]) -> None:
        nonlocal last
        for node in sequence:
            if node[0] == "group":
                for choice in node[2]:
                    visit(choice)
                if node[1] == "!":
                    last = id(node)
            elif node[0] in ("text", "star", "globstar"):
                last = None

    visit(nodes)
    return last


def ends(nodes: list[Tree], text: str, start: int, bounded: int | None) -> set[int]:
    at = {start}
    for node in nodes:
        at = {end for i in at for end in node_ends(node, text, i, bounded)}
    return at


def node_ends(node: Tree, text: str, i: int, bounded: int | None) -> set[int]:
    rest = text[i:]
    run = len(rest.split("/")[0])
    if node[0] == "text":
        return {i + 1} if rest.startswith(node[1]) else set()
    if node[0] == "one":
        return {i + 1} if run else set()
    if node[0] == "star":
        return set(range(i, i + run + 1))
    if node[0] == "globstar":
        return set(range(i, len(text) + 1))
    if node[0] == "set":
        return {i + 1} if rest and (rest[0] in node[2]) != node[1] else set()
    _, op, choices = node

    def once(k: int) -> set[int]:
        return {end for choice in choices for end in ends(choice, text, k, bounded)}

    if op == "!":
        hits = once(i)
        refused = len(text) in hits if bounded == id(node) else bool(hits)
        return set() if refused else set(range(i, i + run + 1))
    reached = once(i)
    if op in "*+":
        todo = set(reached)
        while todo:
            todo = {end for k in todo for end in once(k)} - reached
            reached |= todo
    return reached | {i} if op in "?*" else reached


def oracle(nodes: list[Tree], path: str) -> bool:
    if path == "/" or nodes == [("text", "/")]:
        return path == "/" and nodes == [("text", "/")]
    return len(path) in ends(nodes, path, 0, bounded_negation(nodes))


def fresh(nodes: list[Tree]) -> list[Tree]:
    """A copy in which every node is its own object: the oracle knows groups by identity."""
    return [("group", n[1], [fresh(c) for c in n[2]]) if n[0] == "group" else n for n in nodes]


@settings(max_examples=many(1500), deadline=None)
@given(PATTERNS, st.lists(PATHS, min_size=1, max_size=8))
def test_both_engines_and_the_components_agree_with_the_oracle(
    tree: list[Tree], paths: list[str]
) -> None:
    tree = fresh(tree)
    pattern = render(tree)
    glob = Glob(pattern)
    syntax = parse(glob.pattern)
    machine = Machine(syntax.nodes, syntax)
    for path in paths:
        want = oracle(tree, path)
        assert glob.matches(path) == want
        assert (glob.match(path) is not None) == want
        if path != "/":
            assert (machine.match(path) is not None) == want
        assert by_components(glob, path) == want


def by_components(glob: Glob, path: str) -> bool:
    left = path[1:]
    for component in glob.components:
        if not left:
            return False
        name, _, after = left.partition("/")
        if not name.startswith(component.prefix):
            return False
        if component.rest:
            return component.matches(left)
        if not component.matches(name) or not (component.names is None or name in component.names):
            return False
        left = after
    return not left


FLAT = sequences(
    st.tuples(
        st.just("group"),
        st.sampled_from("{@?!"),
        st.lists(sequences(st.just(("text", "b"))), min_size=1, max_size=2),
    )
).map(lambda nodes: [("text", "/"), *nodes[nodes[:1] == [("text", "/")] :]])


@settings(max_examples=many(600), deadline=None)
@given(FLAT, PATHS.filter(lambda p: p != "/"))
def test_both_engines_capture_the_same(tree: list[Tree], path: str) -> None:
    glob = Glob(render(tree))
    syntax = parse(glob.pattern)
    match = glob.match(path)
    assert Machine(syntax.nodes, syntax).match(path) == (None if match is None else match.groups)


@given(st.text(max_size=12))
def test_any_text_is_a_pattern_or_a_refusal(text: str) -> None:
    try:
        glob = Glob(text)
    except InvalidArgument:
        return
    assert Glob(glob.pattern).pattern == glob.pattern
    assert not glob.is_literal or glob.matches(glob.literal)


# ---- .pachignore: the same grammar without a separator


def unseparated(nodes: list[Tree]) -> list[Tree]:
    """The tree with another character for ``/``, at which nothing stops."""
    made: list[Tree] = []
    for node in nodes:
        if node[0] == "text":
            made.append(("text", node[1].replace("/", "\1")))
        elif node[0] == "set":
            made.append(("set", node[1], str(node[2]).replace("/", "\1")))
        elif node[0] == "group":
            made.append(("group", node[1], [unseparated(c) for c in node[2]]))
        else:
            made.append(node)
    return made


@settings(max_examples=many(500), deadline=None)
@given(PATTERNS, st.lists(PATHS, min_size=1, max_size=8))
def test_a_line_of_pachignore_agrees_with_the_oracle(tree: list[Tree], paths: list[str]) -> None:
    tree = fresh(tree)
    ignore = Ignore(render(tree) + "\n")
    free = unseparated(tree)
    bounded = bounded_negation(free)
    for path in paths:
        text = path.replace("/", "\1")
        assert (path in ignore) == (len(text) in ends(free, text, 0, bounded))


@pytest.mark.parametrize(
    ("line", "left_out", "kept"),
    [
        ("*.pyc", ["a.pyc", "d/e/a.pyc"], ["a.py"]),
        ("build/*", ["build/x", "build/a/b"], ["build", "rebuild/x"]),
        ("build", ["build"], ["build/x"]),
        ("a?b", ["a/b", "axb"], ["ab", "a//b"]),
        ("{x,y}/**", ["x/1/2", "y/z"], ["x"]),
        ("[!a]b", ["/b", "cb"], ["ab"]),
        ("a[!/]b", ["acb"], ["a/b"]),
        ("a[[:punct:]]b", ["a/b"], ["axb"]),
        ("a[[:cntrl:]]b", [], ["a/b"]),
        ("!(*.py)", ["x/notes.txt"], ["main.py", "x/main.py"]),
        ("# words", ["# words"], ["words"]),
        ("", [], ["a"]),
    ],
)
def test_lines_of_pachignore(line: str, left_out: list[str], kept: list[str]) -> None:
    ignore = Ignore(f"\n{line}\r\n")
    assert [path for path in left_out if path not in ignore] == []
    assert [path for path in kept if path in ignore] == []


def test_a_bad_line_of_pachignore_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"\.pachignore:3: bad glob '\[b'"):
        Ignore("a\n\n[b\n")
