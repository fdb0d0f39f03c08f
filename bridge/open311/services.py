"""What can be complained about (domain.md B4), and what an application to BPSK needs (SK 350/2001 article 16)."""

from dataclasses import dataclass
from typing import Any

from bridge.reports.intake import UNSORTED

#: When the tables below were last changed; clients that keep a copy fetch it again. A test holds the two together.
CHANGED = "2026-11-24 08:00"


@dataclass(frozen=True)
class Service:
    """One kind of complaint: `code` is the report's category."""

    code: str
    name: str
    description: str
    keywords: str
    group: str


SERVICES = {
    service.code: service
    for service in (
        Service("PEMBIAYAAN", "Pembiayaan dan leasing", "Kredit kendaraan dan barang, penarikan oleh penagih.",
                "leasing, kredit, penarikan, motor, mobil", "Jasa keuangan"),
        Service("ASURANSI", "Asuransi", "Klaim ditolak atau tidak dibayar, polis berbeda dari yang dijanjikan.",
                "klaim, polis, premi", "Jasa keuangan"),
        Service("PERBANKAN", "Perbankan", "Rekening, kartu kredit, pinjaman bank.",
                "bank, kartu kredit, rekening", "Jasa keuangan"),
        Service("FINTEK_PINJOL", "Teknologi keuangan dan pinjaman daring", "Pinjaman daring, dompet dan bayar digital.",
                "pinjol, pinjaman online, dompet digital", "Jasa keuangan"),
        Service("PERUMAHAN", "Perumahan dan apartemen", "Serah terima terlambat, sertifikat tidak terbit, pengembang.",
                "rumah, apartemen, sertifikat, pengembang", "Perumahan"),
        Service("ECOMMERCE", "Belanja daring", "Barang tidak dikirim, tidak sesuai, uang tidak kembali.",
                "toko online, e-commerce, pengembalian dana", "Perdagangan"),
        Service("ELEKTRONIK_KENDARAAN", "Elektronik dan kendaraan", "Barang cacat, garansi ditolak, perbaikan gagal.",
                "garansi, servis, mobil, motor, telepon", "Perdagangan"),
        Service("MAKANAN_OBAT", "Makanan dan obat", "Kedaluwarsa, label menyesatkan, tidak layak.",
                "makanan, minuman, obat, kosmetik, label", "Perdagangan"),
        Service("TELEKOMUNIKASI", "Telekomunikasi", "Pulsa, paket data, internet rumah, televisi berlangganan.",
                "internet, pulsa, seluler", "Layanan umum"),
        Service("LISTRIK_GAS", "Listrik dan gas rumah tangga", "Tagihan, pemadaman, denda, pemasangan.",
                "listrik, gas, tagihan", "Layanan umum"),
        Service("AIR", "Air bersih", "Tagihan, mutu, dan aliran air perpipaan.", "air, tagihan", "Layanan umum"),
        Service("TRANSPORTASI", "Transportasi", "Penerbangan, kereta, bus, ojek dan taksi daring, kiriman.",
                "tiket, pengembalian dana, bagasi, kurir", "Layanan umum"),
        Service("KESEHATAN", "Kesehatan", "Layanan dan tagihan rumah sakit, klinik, laboratorium.",
                "rumah sakit, klinik, tagihan", "Layanan umum"),
        Service(UNSORTED, "Lain-lain", "Sengketa konsumen lainnya dengan pelaku usaha.",
                "klausula baku, iklan, lain", "Lain-lain"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Attribute:
    """One question of the form. `label` stands before the answer where it has no field of its own in the report."""

    code: str
    datatype: str
    label: str
    description: str
    hint: str = ""
    values: tuple[tuple[str, str], ...] = ()
    automated: bool = False


_YES_NO = (("true", "Ya"), ("false", "Tidak"))
#: Kemendagri codes (domain.md B6).
CITIES = (
    ("31.01", "Kepulauan Seribu"),
    ("31.71", "Jakarta Pusat"),
    ("31.72", "Jakarta Utara"),
    ("31.73", "Jakarta Barat"),
    ("31.74", "Jakarta Selatan"),
    ("31.75", "Jakarta Timur"),
)

#: The same for every service. None is required: a report is not an application yet (domain.md B3), and what is missing
#: is asked for later.
ATTRIBUTES = (
    Attribute("consumer_domicile", "singlevaluelist", "Domisili konsumen",
              "Di mana konsumen tinggal? BPSK yang berwenang mengikuti domisili konsumen.", values=CITIES),
    Attribute("consumer_address", "text", "Alamat konsumen", "Alamat lengkap konsumen, ahli waris, atau kuasanya."),
    Attribute("identity_proof", "singlevaluelist", "Bukti identitas",
              "Bukti identitas apa yang dapat ditunjukkan? Jangan tulis nomornya di sini.",
              values=(("ktp", "KTP"), ("paspor", "Paspor"), ("lain", "Lainnya"), ("belum", "Belum ada"))),
    Attribute("business_name", "string", "Pelaku usaha", "Nama lengkap pelaku usaha."),
    Attribute("business_address", "text", "Alamat pelaku usaha", "Alamat pelaku usaha, cabang atau pusat."),
    Attribute("goods_or_services", "string", "Barang atau jasa", "Barang atau jasa yang diadukan."),
    Attribute("proof_of_purchase", "multivaluelist", "Bukti perolehan", "Bukti pembelian yang ada.",
              values=(("bon", "Bon"), ("faktur", "Faktur"), ("kwitansi", "Kwitansi"), ("perjanjian", "Perjanjian"),
                      ("lain", "Bukti lain"), ("tidak_ada", "Tidak ada"))),
    Attribute("obtained_at", "datetime", "Waktu perolehan", "Kapan barang atau jasa diperoleh?", "Tanggal dan jam"),
    Attribute("obtained_place", "string", "Tempat perolehan", "Di mana barang atau jasa diperoleh?"),
    Attribute("witnesses", "text", "Saksi", "Saksi yang mengetahui perolehan itu, bila ada."),
    Attribute("amount_idr", "number", "Nilai kerugian (Rp)", "Berapa nilai kerugian?", "Rupiah, angka saja"),
    Attribute("business_asked", "singlevaluelist", "Sudah mengadu ke pelaku usaha",
              "Apakah sudah mengadu langsung kepada pelaku usaha?", values=_YES_NO),
    Attribute("anonymous", "singlevaluelist", "Anonim",
              "Sembunyikan identitas? Nama tidak pernah ditampilkan kepada umum; permohonan tetap memerlukannya.",
              values=_YES_NO),
    # FixMyStreet fills it in by itself when it is named here (open311-adapter names it so), and a report that is sent
    # twice is one.
    Attribute("fixmystreet_id", "string", "", "Nomor laporan pada aplikasi pengirim.", automated=True),
)  # fmt: skip


def service_list() -> list[dict[str, Any]]:
    """Return `services`."""
    return [
        {
            "service_code": service.code,
            "service_name": service.name,
            "description": service.description,
            "metadata": True,
            "type": "realtime",
            "keywords": service.keywords,
            "group": service.group,
        }
        for service in SERVICES.values()
    ]


def definition(code: str) -> dict[str, Any]:
    """Return `service_definition` of a service that is known."""
    return {
        "service_code": code,
        "attributes": [_attribute(order, attribute) for order, attribute in enumerate(ATTRIBUTES, start=1)],
    }


def discovery(public_url: str) -> dict[str, Any]:
    """Return `discovery` (https://wiki.open311.org/Service_Discovery)."""
    endpoint = {
        "specification": "http://wiki.open311.org/GeoReport_v2",
        "url": f"{public_url}/open311/v2",
        "changeset": CHANGED,
        "type": "production",
        "formats": ["text/xml", "application/json"],
    }
    return {
        "changeset": CHANGED,
        "contact": f"BPSK Provinsi DKI Jakarta, {public_url}",
        "key_service": f"Minta api_key kepada pengelola Jembatan di BPSK Provinsi DKI Jakarta, {public_url}",
        "endpoints": [endpoint],
    }


def _attribute(order: int, attribute: Attribute) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "variable": not attribute.automated,
        "code": attribute.code,
        "datatype": attribute.datatype,
        "required": False,
        "datatype_description": attribute.hint,
        "order": order,
        "description": attribute.description,
    }
    if attribute.values:
        shown["values"] = [{"key": key, "name": name} for key, name in attribute.values]
    # mySociety's word for what their side fills in; others leave out what is not variable.
    return shown | ({"automated": "server_set"} if attribute.automated else {})
