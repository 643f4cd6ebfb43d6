"""What a reader sees reaches the text, and what no reader sees does not."""

from __future__ import annotations

import zlib
from time import monotonic

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from mmm_workflows.errors import WebError
from mmm_workflows.tools.bounded_body import BoundedBody
from mmm_workflows.tools.charsets import decoded
from mmm_workflows.tools.page_text import visible_text

URL = "http://example.org/"
TAGS = "".join(chr(0xE0000 + ord(letter)) for letter in "SECRET")
VARIATIONS = "".join(chr(0xE0100 + ord(letter)) for letter in "SECRET")

# A style rule and the body that it hides; the body alone where the rule is empty.
HIDDEN = [
    ("", "<div style='display:none'>SECRET</div>"),
    ("", "<div style='DISPLAY : NONE !important'>SECRET</div>"),
    ("", "<div style='display:/**/none'>SECRET</div>"),
    ("", "<div style='d\\69splay:none'>SECRET</div>"),
    ("", "<div style='display:none;display:nonsense'>SECRET</div>"),
    ("", "<div style='display:none'><div><p>SECRET</p></div></div>"),
    ("", "<p style='visibility:hidden'>SECRET</p>"),
    ("", "<p style='visibility:collapse'>SECRET</p>"),
    ("", "<p style='content-visibility:hidden'>SECRET</p>"),
    ("", "<p style='opacity:0'>SECRET</p>"),
    ("", "<p style='opacity:1%'>SECRET</p>"),
    ("", "<p style='filter: opacity(0)'>SECRET</p>"),
    ("", "<p style='font-size:0'>SECRET</p>"),
    ("", "<p style='font-size:1px'>SECRET</p>"),
    ("", "<p style='font-size:.01em'>SECRET</p>"),
    ("", "<p style='font-size:0;font-size:nonsense'>SECRET</p>"),
    ("", "<p style='font: 0/1 serif'>SECRET</p>"),
    ("", "<div style='font-size:.4em'><div style='font-size:30%'>SECRET</div></div>"),
    ("", "<p style='color:#fff'>SECRET</p>"),
    ("", "<p style='color:White'>SECRET</p>"),
    ("", "<p style='color:rgb(255, 254, 253)'>SECRET</p>"),
    ("", "<p style='color:hsl(0 0% 100%)'>SECRET</p>"),
    ("", "<p style='color:transparent'>SECRET</p>"),
    ("", "<p style='color:#0000'>SECRET</p>"),
    ("", "<p style='color:rgba(0,0,0,.01)'>SECRET</p>"),
    ("", "<p style='background:#123456;color:#123457'>SECRET</p>"),
    ("", "<div style='background-color:black'><p>SECRET</p></div>"),
    ("", "<font color=white>SECRET</font>"),
    ("", "<table bgcolor=black><tr><td>SECRET</td></tr></table>"),
    ("", "<p style='position:absolute;left:-9999px'>SECRET</p>"),
    ("", "<p style='position:fixed;top:-100vh;left:-100vw'>SECRET</p>"),
    ("", "<p style='position:absolute;left:99999px'>SECRET</p>"),
    ("", "<p style='margin-left:-5000em'>SECRET</p>"),
    ("", "<p style='text-indent:-9999px'>SECRET</p>"),
    ("", "<p style='transform:translateX(-9999px)'>SECRET</p>"),
    ("", "<p style='transform:scale(0)'>SECRET</p>"),
    ("", "<p style='transform: scale3d( 0.0 ,1,1)'>SECRET</p>"),
    ("", "<p style='zoom:0.01'>SECRET</p>"),
    ("", "<p style='height:0;overflow:hidden'>SECRET</p>"),
    ("", "<p style='max-width:1px;overflow-x:hidden'>SECRET</p>"),
    ("", "<p style='position:absolute;clip:rect(0 0 0 0)'>SECRET</p>"),
    ("", "<p style='clip-path:inset(50%)'>SECRET</p>"),
    ("", "<p hidden>SECRET</p>"),
    ("", "<p hidden=until-found>SECRET</p>"),
    ("", "<p aria-hidden=' TRUE '>SECRET</p>"),
    ("", "<div popover>SECRET</div>"),
    ("", "<dialog>SECRET</dialog>"),
    ("", "<!-- SECRET -->"),
    ("", "<!-- --!> <!-- SECRET -->"),
    ("", "<?php SECRET ?>"),
    ("", "<![CDATA[ SECRET ]]>"),
    ("", "<script>SECRET</script>"),
    ("", "<script type='application/ld+json'>{\"articleBody\": \"SECRET\"}</script>"),
    ("", "<style>SECRET</style>"),
    ("", "<noscript>SECRET</noscript>"),
    ("", "<template><p>SECRET</p></template>"),
    ("", "<iframe srcdoc='SECRET'>SECRET</iframe>"),
    ("", "<object data=x>SECRET</object>"),
    ("", "<svg><title>SECRET</title><desc>SECRET</desc></svg>"),
    ("", "<img src=x alt=SECRET title=SECRET>"),
    ("", "<a href='http://example.org/?SECRET' title=SECRET>link</a>"),
    ("", "<meta name=description content=SECRET>"),
    ("", "<input type=hidden value=SECRET><textarea>SECRET</textarea>"),
    ("", "<select><option>SECRET</option></select>"),
    ("", f"<p>Seen{TAGS}</p>"),
    ("", f"<p>Seen{VARIATIONS}</p>"),
    (".x{display:none}", "<p class='a x b'>SECRET</p>"),
    (".x.y{display:none}", "<p class='y x'>SECRET</p>"),
    ("#x{visibility:hidden}", "<p id=x>SECRET</p>"),
    ("q, .x , b{opacity:0}", "<p class=x>SECRET</p>"),
    ("p.x{font-size:0}", "<p class=x>SECRET</p>"),
    (".a .b{display:none}", "<div class=a><div><p class=b>SECRET</p></div></div>"),
    (".a>.b{display:none}", "<div class=a><p class=b>SECRET</p></div>"),
    (".a + .b{display:none}", "<p class=a>A.</p><p class=b>SECRET</p>"),
    ("p:nth-child(2).x{display:none}", "<p class=x>SECRET</p>"),
    ("[data-x]{display:none}", "<p data-x>SECRET</p>"),
    ("[data-x='1']{display:none}", "<p data-x=1>SECRET</p>"),
    ("@media screen{.x{display:none}}", "<p class=x>SECRET</p>"),
    ("@media (min-width:10px){.x{display:none}}", "<p class=x>SECRET</p>"),
    ("@supports (display:grid){@layer a{.x{display:none}}}", "<p class=x>SECRET</p>"),
    (".a{color:red; .x{display:none}}", "<div class=a><p class=x>SECRET</p></div>"),
    (".a{&.x{display:none}}", "<p class='a x'>SECRET</p>"),
    (".x{display:none", "<p class=x>SECRET</p>"),
    ("/* } */ .x{/*{*/display:none}", "<p class=x>SECRET</p>"),
    ("@import 'a.css'; .x{display:none}", "<p class=x>SECRET</p>"),
    ("@font-face{font-family:a}.x{display:none}", "<p class=x>SECRET</p>"),
    (".\\78 {display:none}", "<p class=x>SECRET</p>"),
    (".X{display:none}", "<p class=x>SECRET</p>"),
    (":root{--a:none} .x{display:var(--a)}", "<p class=x>SECRET</p>"),
    (".x{visibility:var( --a , hidden)}", "<p class=x>SECRET</p>"),
    ("", "<div style='--a:0'><p style='font-size:var(--a)'>SECRET</p></div>"),
    (".x{color:#fff}", "<p class=x>SECRET</p>"),
    ("body{background:#111} .x{color:#111}", "<p class=x>SECRET</p>"),
    (".sr-only{position:absolute;width:1px;height:1px;overflow:hidden}", "<i class=sr-only>SECRET</i>"),
]  # fmt: skip
SEEN = [
    ("", "<ul style='font-size:0'><li style='font-size:16px'>OPEN</li></ul>"),
    ("", "<div style='background:#000;color:#fff'>OPEN</div>"),
    ("", "<div style='background:url(a.png);color:#fff'>OPEN</div>"),
    ("", "<div style='visibility:hidden'><p style='visibility:visible'>OPEN</p></div>"),
    ("", "<div style='color:#fff'><p style='color:#000'>OPEN</p></div>"),
    ("", "<p style='transform:translate(-50%,-50%)'>OPEN</p>"),
    ("", "<p style='opacity:.8;font-size:small;color:#333'>OPEN</p>"),
    ("", "<p style='height:0'>OPEN</p>"),
    ("", "<p style='margin-left:-20px'>OPEN</p>"),
    ("", "<table><tr><td>OPEN</td><td>0.2</td></tr></table>"),
    ("", "<details><summary>More</summary>OPEN</details>"),
    ("", "<p>OP<!-- x -->EN</p>"),
    ("", "<p><img src=x>OPEN</p>"),
    ("", "<p>O\u200bP\u00adE\u202eN</p>"),
    ("", "<p>&#79;PEN</p>"),
    ("", "<p hidden>x</p>OPEN"),
    ("@media print{p{display:none}}", "<p>OPEN</p>"),
    ("@media (max-width:600px){p{display:none}}", "<p>OPEN</p>"),
    ("p:hover{display:none}", "<p>OPEN</p>"),
    ("p:empty{display:none}", "<p>OPEN</p>"),
    ("p::before{display:none}", "<p>OPEN</p>"),
    ("@keyframes a{from{opacity:0}}", "<p class=from>OPEN</p>"),
    (".a>.b{display:none}", "<div class=a><i><b class=b>OPEN</b></i></div>"),
    (".a .b{display:none}", "<p class=b>OPEN</p>"),
    (".a.b{display:none}", "<p class=a>OPEN</p>"),
    ("[data-x='1']{display:none}", "<p data-x=2>OPEN</p>"),
    (":where(.a){display:none}", "<p>OPEN</p>"),
    (":root{--a:#000} .dark{--a:#fff} p{color:var(--a)}", "<p>OPEN</p>"),
    ("@media (min-width:1.2.3px){b{display:none}}", "<p>OPEN</p>"),
    ("", f"<table bgcolor='rgb({'9' * 500},0,0)'><tr><td>OPEN</td></tr></table>"),
    ("p{color:#1;color:#12345;color:rgb(1);color:rgb();color:hsl(1,2,50%)}", "<p>OPEN</p>"),
    ("", "<p style='font-size:1e999px;opacity:1e999;left:nan'>OPEN</p>"),
    ("body{background:#fff;color:#222}", "<p>OPEN</p>"),
]


def text_of(css: str, body: str) -> str:
    html = (
        f"<html><head><title>T</title><style>{css}</style></head><body><article><h1>On TV</h1>"
        f"<p>The elasticity of TV is 0.12 in a meta-analysis of many brands.</p>{body}"
        "<p>So much for the elasticity of TV in this study.</p></article></body></html>"
    )
    text = visible_text(html, url=URL)[1]
    assert text.startswith("On TV")
    assert text.endswith("So much for the elasticity of TV in this study.")
    assert "0.12" in text
    return text


@pytest.mark.parametrize(("css", "body"), HIDDEN)
def test_what_no_reader_sees_is_not_in_the_text(css: str, body: str) -> None:
    text = text_of(css, body)
    assert "SECRET" not in text
    assert text.isascii()


@pytest.mark.parametrize(("css", "body"), SEEN)
def test_what_a_reader_sees_is_in_the_text(css: str, body: str) -> None:
    assert "OPEN" in text_of(css, body)


def test_a_style_for_print_hides_nothing_on_the_screen() -> None:
    html = "<style media=print>p{display:none}</style><p>OPEN</p>"
    assert visible_text(html, url=URL)[1] == "OPEN"


def test_a_page_without_a_main_part_is_read_as_a_whole() -> None:
    html = (
        "<title> A\n page </title><div>One<div>Two <b>bold</b>.</div>three</div><ul><li>Four</ul>"
    )
    assert visible_text(html, url=URL) == ("A page", "One\n\nTwo bold.\n\nthree\n\nFour")


@pytest.mark.parametrize("html", ["", " ", "<!-- a -->", "<html>", "<head><title></title></head>"])
def test_a_page_without_text_has_none(html: str) -> None:
    assert visible_text(html, url=URL) == ("", "")


def test_equal_pages_give_equal_texts() -> None:
    html = (
        "<article>" + "".join(f"<p>Finding {n} of the study.</p>" for n in range(50)) + "</article>"
    )
    assert len({visible_text(html, url=URL) for _ in range(3)}) == 1


@pytest.mark.parametrize(
    "html",
    [
        "<p>" + "words " * 400_000,
        "<p>a" * 40_000,
        "<style>" + "{" * 400_000 + "</style><p>a",
        "<style>" + "* {color:red}" * 5_000 + "</style>" + "<p>a" * 20_000,
    ],
)
def test_a_page_that_would_keep_a_thread_for_long_is_refused(html: str) -> None:
    with pytest.raises(WebError) as caught:
        visible_text(html, url=URL)
    assert caught.value.code == "page_too_large"


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 200_000 + "deep",
        "<b>" * 29_000 + "deep",
        "<table><tr><td>" * 9_000 + "deep",
        "<p>" + "1" * 1_900_000,
        f"<p style='width:{'1' * 1_000_000}x'>a",
        f"<p style='{'(' * 1_000_000}'>a",
        "<style>" + "[" * 1_000_000 + "{display:none}</style><p>a",
        "<style>" + " > " * 300_000 + "{display:none}</style><p>a",
        "<style>" + "/*" * 900_000 + "</style><p>a",
        "<style>@media " + "min-width:" * 150_000 + "{display:none}</style><p>a",
        "<" * 1_900_000,
        "&" * 1_900_000,
        "<!--" * 400_000,
        "<meta " * 300_000,
    ],
)
def test_a_page_made_to_waste_time_does_not(html: str) -> None:
    start = monotonic()
    visible_text(html, url=URL)
    decoded(html.encode(), declared=None, host="example.org")
    assert monotonic() - start < 10


ODD = st.text(alphabet="<>/!-&;:{}()[]#.,*@%'\" =019aeprghbdivstyxlm\0\u200b\u00e9", max_size=200)


STYLES = st.tuples(
    st.sampled_from(
        [
            "color",
            "background",
            "font-size",
            "font",
            "opacity",
            "left",
            "clip",
            "zoom",
            "width",
            "--a",
        ]
    ),
    st.text(alphabet="0123456789.,%-e#()rgbahslpxvtcluin /", max_size=20),
).map(lambda pair: f"{pair[0]}:{pair[1]};")


@given(
    st.lists(STYLES, max_size=4).map("".join), st.text(alphabet="(min-axwdth:0.9px)", max_size=20)
)
def test_any_style_is_read(style: str, media: str) -> None:
    html = (
        f"<style>@media {media}{{p{{{style}}}}}</style><p style='{style}'>a<td bgcolor='{style}'>"
    )
    visible_text(html, url=URL)


@given(ODD)
def test_any_page_is_read(text: str) -> None:
    visible_text(f"<style>{text}</style><p style='{text}'>a</p>{text}<p>b", url=URL)


@given(st.binary(max_size=300), st.none() | st.text(max_size=12))
def test_any_body_is_decoded_or_refused(body: bytes, declared: str | None) -> None:
    try:
        text = decoded(body, declared=declared, host="example.org")
    except WebError as error:
        assert error.code == "page_type"
    else:
        assert "\0" not in text


@given(st.lists(st.binary(max_size=400)), st.integers(0, 600))
def test_a_body_is_whole_or_refused_or_cut(chunks: list[bytes], max_bytes: int) -> None:
    whole = b"".join(chunks)
    cut = BoundedBody(yarl.URL(URL), max_bytes=max_bytes, cut=True)
    for chunk in chunks:
        if not cut.feed(chunk):
            break
    assert cut.content == whole[:max_bytes]
    strict = BoundedBody(yarl.URL(URL), max_bytes=max_bytes, cut=False)
    try:
        for chunk in chunks:
            strict.feed(chunk)
    except WebError as error:
        assert error.code == "page_too_large"
        assert len(whole) > max_bytes
    else:
        assert strict.content == whole


def test_a_bomb_is_never_unpacked_beyond_the_bound() -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()
    body = BoundedBody(yarl.URL(URL), max_bytes=200_000, cut=False)
    body.expect("deflate", len(bomb))
    with pytest.raises(WebError, match="larger"):
        body.feed(bomb)
    assert len(body.content) == 200_000
