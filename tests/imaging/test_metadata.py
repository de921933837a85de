"""Infotexts in picture files."""

import io
import json
import struct
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from webui.errors import DamagedFile, FileError, InvalidRequest, UnsafeFile
from webui.imaging.files import load_picture
from webui.imaging.metadata import encode_picture, read_metadata, save_picture
from webui.infotext import infotext_to_request, request_to_infotext
from webui.request import GenerationRequest

FORMATS = ("png", "jpg", "webp", "avif")
PICTURE = Image.linear_gradient("L").resize((24, 16)).convert("RGB")
INFOTEXT = "a cat\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 24x16"
CHINESE = "一只猫, 👩‍👩‍👧 שלום\nSteps: 20, Sampler: Euler a, CFG scale: 7"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", [INFOTEXT, CHINESE, "café", "x", "\u202e\u2028\r\n\t", "a " * 1000])
def test_an_infotext_reads_back_from_every_format(format, text):
    found = read_metadata(encode_picture(PICTURE, text, format))
    assert found.infotext == text
    assert (found.width, found.height) == (24, 16)


@pytest.mark.parametrize("format", FORMATS)
def test_a_megabyte_of_infotext_reads_back_from_every_format(format):
    text = "x, 猫 " * 200_000 + "\n" + INFOTEXT
    assert read_metadata(encode_picture(PICTURE, text, format)).infotext == text


@pytest.mark.parametrize("format", FORMATS)
def test_without_an_infotext_there_is_none(format):
    found = read_metadata(encode_picture(PICTURE, "", format))
    assert found.infotext is None
    assert found.items == {}


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_picture_gives_the_same_bytes(format):
    assert encode_picture(PICTURE, INFOTEXT, format) == encode_picture(PICTURE.copy(), INFOTEXT, format)


def test_png_keeps_every_pixel_and_pillow_finds_the_text_where_others_put_it():
    image = Image.open(io.BytesIO(encode_picture(PICTURE, INFOTEXT)))
    assert image.text == {"parameters": INFOTEXT}
    assert image.tobytes() == PICTURE.tobytes()


def test_png_uses_international_text_only_where_it_must():
    assert b"tEXtparameters" in encode_picture(PICTURE, "café")


@pytest.mark.parametrize("text", ["café", "cafÃ©", "灯塔 Ã©", "plain"])
def test_latin_letters_come_back_as_they_were(text):
    assert read_metadata(encode_picture(PICTURE, text)).infotext == text


def test_utf_8_where_latin_1_should_be_is_read():
    assert read_metadata(with_chunk(chunk(b"tEXt", b"parameters\0" + "灯塔, é".encode()))).infotext == "灯塔, é"
    assert read_metadata(with_chunk(chunk(b"tEXt", b"parameters\0" + "café".encode("latin-1")))).infotext == "café"
    assert b"iTXtparameters" in encode_picture(PICTURE, CHINESE)


def test_webp_can_keep_every_pixel():
    data = encode_picture(PICTURE, INFOTEXT, "webp", lossless=True)
    assert Image.open(io.BytesIO(data)).convert("RGB").tobytes() == PICTURE.tobytes()


@pytest.mark.parametrize("format", ["jpg", "webp", "avif"])
def test_the_exif_comment_is_that_of_other_programs(format):
    exif = Image.open(io.BytesIO(encode_picture(PICTURE, "a猫", format))).getexif()
    assert exif.get_ifd(0x8769)[0x9286] == b"UNICODE\0" + "a猫".encode("utf-16-be")


@pytest.mark.parametrize("format", FORMATS)
def test_what_files_cannot_hold_is_replaced_and_the_request_still_reads_back(format):
    request = GenerationRequest("a\0b\ud800", "\0", seed=3)
    data = encode_picture(PICTURE, request_to_infotext(request), format)
    assert infotext_to_request(read_metadata(data).infotext)[0] == request
    assert read_metadata(encode_picture(PICTURE, "a\0b", format)).infotext == "a\ufffdb"


@settings(max_examples=120, deadline=None)
@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(["png", "jpg", "webp"]))
def test_any_request_survives_any_file(prompt, negative, format):
    request = GenerationRequest(prompt, negative, seed=5)
    data = encode_picture(PICTURE, request_to_infotext(request), format)
    assert infotext_to_request(read_metadata(data).infotext)[0] == request


def exif_file(comment, little_endian=False):
    exif = Image.Exif()
    exif.endian = "<" if little_endian else ">"
    exif.get_ifd(0x8769)[0x9286] = comment
    buffer = io.BytesIO()
    PICTURE.save(buffer, "JPEG", exif=exif.tobytes())
    return buffer.getvalue()


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + INFOTEXT.encode("utf-16-be"),
        b"UNICODE\0" + INFOTEXT.encode("utf-16-le"),
        b"UNICODE\0" + b"\xff\xfe" + INFOTEXT.encode("utf-16-le"),
        b"ASCII\0\0\0" + INFOTEXT.encode(),
        b"\0" * 8 + INFOTEXT.encode(),
        INFOTEXT.encode(),
    ],
)
@pytest.mark.parametrize("little_endian", [False, True])
def test_comments_of_other_programs_are_understood(comment, little_endian):
    assert read_metadata(exif_file(comment, little_endian)).infotext == INFOTEXT


def test_comfyuis_texts_are_found_in_webp_and_png():
    exif = Image.Exif()
    exif[0x0110], exif[0x010F] = 'prompt:{"1": {}}', 'workflow:{"nodes": []}'
    buffer = io.BytesIO()
    PICTURE.save(buffer, "WEBP", exif=exif.tobytes())
    assert read_metadata(buffer.getvalue()).items == {"Model": 'prompt:{"1": {}}', "Make": 'workflow:{"nodes": []}'}
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", json.dumps({"a": "猫"}, ensure_ascii=False))
    info.add_text("workflow", "{}", zip=True)
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG", pnginfo=info)
    assert read_metadata(buffer.getvalue()).items == {"prompt": '{"a": "猫"}', "workflow": "{}"}


def test_a_gifs_comment_is_its_infotext():
    buffer = io.BytesIO()
    PICTURE.save(buffer, "GIF", comment=INFOTEXT.encode())
    found = read_metadata(buffer.getvalue())
    assert (found.format, found.infotext) == ("GIF", INFOTEXT)


def test_exif_counts_before_the_png_text():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "exif".encode("utf-16-be")
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "chunk")
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG", pnginfo=info, exif=exif.tobytes())
    found = read_metadata(buffer.getvalue())
    assert (found.infotext, found.items["parameters"]) == ("exif", "chunk")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(*chunks):
    """A PNG with further chunks behind its pixels."""
    data = encode_picture(PICTURE)
    return data[:-12] + b"".join(chunks) + data[-12:]


def test_text_behind_the_pixels_is_found():
    assert read_metadata(with_chunk(chunk(b"tEXt", b"parameters\0late"))).infotext == "late"


def test_a_text_bomb_is_not_unpacked():
    bomb = zlib.compress(bytes(64 << 20), 9)
    data = with_chunk(*[chunk(b"zTXt", b"bomb%d\0\0" % n + bomb) for n in range(50)], chunk(b"tEXt", b"parameters\0ok"))
    started = time.process_time()
    found = read_metadata(data)
    assert found.items == {"parameters": "ok"}
    assert time.process_time() - started < 5.0  # all of it would be 3 GB


def test_exif_behind_the_pixels_is_found_without_decoding_them(monkeypatch):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "late".encode("utf-16-be")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("decoded"))
    assert read_metadata(with_chunk(chunk(b"eXIf", exif.tobytes()[6:]))).infotext == "late"


def test_a_text_bomb_before_the_pixels_is_refused():
    data = encode_picture(PICTURE)
    bomb = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(64 << 20), 9))
    with pytest.raises(DamagedFile):
        read_metadata(data[:33] + bomb + data[33:])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"tEXt", b""),
        (b"tEXt", b"parameters"),
        (b"zTXt", b"parameters"),
        (b"zTXt", b"parameters\0"),
        (b"zTXt", b"parameters\0\0not deflated"),
        (b"zTXt", b"parameters\0\1" + zlib.compress(b"unknown method")),
        (b"zTXt", b"parameters\0\0" + zlib.compress(b"cut off")[:-3]),
        (b"iTXt", b"parameters\0"),
        (b"iTXt", b"parameters\0\0\0en"),
        (b"iTXt", b"parameters\0\2\0\0\0x"),
        (b"iTXt", b"parameters\0\1\0\0\0not deflated"),
        (b"eXIf", b"MM\0"),
    ],
)
def test_a_damaged_chunk_does_no_harm(kind, body):
    found = read_metadata(with_chunk(chunk(kind, body), chunk(b"tEXt", b"comment\0kept")))
    assert found.items.get("comment") == "kept"
    assert "parameters" not in found.items


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["png", "jpg", "webp", "avif", "gif"]), st.data())
def test_damaged_files_are_read_or_refused_but_never_crash(format, data):
    if format == "gif":
        buffer = io.BytesIO()
        PICTURE.save(buffer, "GIF", comment=INFOTEXT.encode())
        file = bytearray(buffer.getvalue())
    else:
        file = bytearray(encode_picture(PICTURE, INFOTEXT, format))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(file) - 1), st.integers(0, 255)), max_size=8)):
        file[place] = value
    del file[data.draw(st.integers(0, len(file))) :]
    try:
        read_metadata(bytes(file))
    except FileError as error:
        assert str(error)


@pytest.mark.parametrize("kept", range(0, 420, 20))
def test_a_cut_off_avif_file_is_refused_in_words(kept):
    whole = encode_picture(PICTURE, INFOTEXT, "avif")
    with pytest.raises(DamagedFile, match="picture"):
        load_picture(whole[: min(kept, len(whole) - 1)])


def test_an_avif_file_whose_item_is_empty_is_refused_in_words():
    damaged = bytearray(encode_picture(PICTURE, INFOTEXT, "avif"))
    damaged[161] = 1
    with pytest.raises(DamagedFile):
        read_metadata(bytes(damaged[:332]))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_too_many_pixels_is_refused_by_its_header():
    header = struct.pack(">IIBBBBB", 17_000, 17_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    with pytest.raises(UnsafeFile, match="268 megapixels"):
        read_metadata(data)


@pytest.mark.parametrize("data", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF", b"8BPS\0\1" + b"\0" * 40, b"<svg/>"])
def test_what_is_no_picture_of_the_known_formats_is_refused(data):
    with pytest.raises(DamagedFile, match="PNG"):
        read_metadata(data)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileError, match=r"gone\.png"):
        read_metadata(tmp_path / "gone.png")


def test_an_unknown_format_is_named():
    with pytest.raises(InvalidRequest, match="'bmp'"):
        encode_picture(PICTURE, "", "bmp")


def test_what_a_format_cannot_hold_is_an_error_with_a_way_out():
    with pytest.raises(FileError, match="Choose PNG"):
        encode_picture(Image.new("RGB", (16_500, 1)), "", "webp")


def test_transparent_pictures_become_jpeg():
    assert read_metadata(encode_picture(PICTURE.convert("RGBA"), INFOTEXT, "jpeg")).infotext == INFOTEXT


def test_the_suffix_names_the_format(tmp_path):
    path = save_picture(PICTURE, tmp_path / "a.webp", INFOTEXT)
    assert read_metadata(path).format == "WEBP"
    assert read_metadata(save_picture(PICTURE, tmp_path / "b.part", INFOTEXT, "png")).format == "PNG"


@pytest.mark.parametrize("format, longest", [("webp", 16383), ("jpg", 65500)])
def test_a_picture_too_large_for_the_format_of_the_settings_becomes_a_png(tmp_path, format, longest):
    fitting, larger = (Image.new("L", (longest + more, 1)) for more in (0, 1))
    assert save_picture(fitting, tmp_path / f"a.{format}", INFOTEXT, format).suffix == f".{format}"
    path = save_picture(larger, tmp_path / f"b.{format}", INFOTEXT, format)
    assert path.name == "b.png" and read_metadata(path).infotext == INFOTEXT and read_metadata(path).format == "PNG"
    with pytest.raises(FileError):
        save_picture(larger, tmp_path / f"c.{format}")  # a name that somebody chose
