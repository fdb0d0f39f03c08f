"""What is wrong with a body, for people: the checks say it in English, here it is in Indonesian."""

import re

#: What a check says -> the same in Indonesian; groups are taken over. A line without match stays as it is.
_SAID = tuple(
    (re.compile(english), indonesian)
    for english, indonesian in (
        (r"Missing data for required field\.", r"wajib ada"),
        (r"Field may not be null\.", r"tidak boleh kosong (null)"),
        (r"Unknown field\.", r"isian ini tidak dikenal"),
        (r"Not a valid string\.", r"harus berupa teks"),
        (r"Not a valid (?:integer|number)\.", r"harus berupa angka"),
        (r"Not a valid boolean\.", r"harus true atau false"),
        (r"Not a valid list\.", r"harus berupa daftar [ … ]"),
        (r"(?:Not a valid mapping type|Invalid input type)\.", r"harus berupa objek { … }"),
        (r"Not a valid (?:aware )?datetime\.", r"harus tanggal, jam, dan zona: 2026-11-23T10:00:00+07:00"),
        (r"Not a valid URL\.", r"harus berupa alamat http:// atau https://"),
        (r"Not a valid UUID\.", r"harus berupa UUID"),
        (r"Must be one of: (.+)\.", r"harus salah satu dari: \1"),
        (r"String does not match expected pattern\.", r"bentuknya tidak sesuai; kode wilayah ditulis seperti 31.74.05"),
        (
            r"Must be greater than or equal to (\S+) and less than or equal to (\S+)\.",
            r"harus antara \1 dan \2",
        ),
        (r"Longer than maximum length (\d+)\.", r"terlalu banyak, paling banyak \1"),
        (r"Length must be (?:between (\d+) and )?(\d+)\.", r"panjangnya tidak sesuai (\1–\2)"),
        (r"must have (\d+) to (\d+) characters", r"harus \1 sampai \2 huruf"),
        (r"must not contain a NUL character or half a surrogate pair", r"memuat huruf yang rusak"),
        (r"must lie within the years (\d+) to (\d+)", r"tahunnya harus antara \1 dan \2"),
        (r"the body must be a JSON object with (.+) and data", r"isinya harus objek JSON dengan \1, dan data"),
        (r"the body is not UTF-8: byte (\d+) cannot be read", r"isinya bukan UTF-8: byte ke-\1 tidak terbaca"),
        (r"the body is not JSON: .* line (\d+) column (\d+).*", r"isinya bukan JSON: periksa baris \1, huruf ke-\2"),
        (r"the body has (\d+) bytes; the way in takes (\d+)", r"isinya \1 byte; paling banyak \2"),
        (r"nested more than (\d+) levels deep", r"bertingkat lebih dari \1 lapis"),
        (
            r"a key appears twice in one object: line (\d+) column (\d+).*",
            r"sebuah kunci muncul dua kali dalam satu objek: periksa baris \1, huruf ke-\2",
        ),
        (r"a number is too large: line (\d+) column (\d+).*", r"angka terlalu besar: periksa baris \1, huruf ke-\2"),
        (r"(NaN|-?Infinity) is not JSON; send a number or null", r"\1 bukan JSON; kirim angka atau null"),
        (r"the body begins with a byte order mark.*", r"isinya diawali byte order mark; kirim UTF-8 tanpa itu"),
        (r"this webhook-id came before with another body", r"webhook-id ini pernah datang dengan isi lain"),
        (r"a queue message is a JSON object", r"pesan antrean harus objek JSON"),
        (r"it was released, and failed again", r"sudah dilepaskan, lalu gagal lagi"),
        (r"(\w+) could not read this message of (\S+)", r"\1 tidak dapat membaca pesan dari \2 ini"),
        (
            r"(\w+) could not handle this message of (\S+): it failed, or ended its process, (\d+) times",
            r"\1 gagal menangani pesan dari \2 ini sebanyak \3 kali",
        ),
        (r"(\w+) could not handle this message of ([^\s:]+).*", r"\1 tidak dapat menangani pesan dari \2 ini"),
        (r"its log says why, at (.+)", r"sebabnya ada di log, pada \1"),
    )
)  # fmt: skip


def fault_in_words(line: str, language: str = "id") -> str:
    """Return a line such as `data.title: Missing data for required field.` in a language; the place stays."""
    if language == "en":
        return line
    place, colon, text = line.partition(": ")
    whole = _said(line)
    if whole is not None or not colon:
        return line if whole is None else whole
    said = _said(text)
    return line if said is None else f"{place}: {said}"


def _said(text: str) -> str | None:
    for english, indonesian in _SAID:
        if found := english.fullmatch(text):
            return found.expand(indonesian)
    return None
