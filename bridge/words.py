"""Words people read, in Indonesian and English, and dates as people there write them. docs/glossary.md explains."""

from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime

ZONE = ZoneInfo("Asia/Jakarta")
LANGUAGES = ("id", "en")

#: word -> (Indonesian, English)
WORDS: dict[str, tuple[str, str]] = {
    # clocks
    "acknowledge": ("tanggapan pertama", "acknowledgement"),
    "triage": ("penelaahan", "triage"),
    "completion": ("kelengkapan dari konsumen", "completion by the consumer"),
    "summons": ("pemanggilan pelaku usaha", "summons to the business"),
    "first_hearing": ("sidang pertama", "first hearing"),
    "decision": ("putusan", "decision"),
    # roles and rungs
    "officer": ("Anggota", "Member"),
    "secretariat": ("Sekretariat", "Secretariat"),
    "chair": ("Ketua BPSK", "Chair of BPSK"),
    "dinas_head": ("Kepala Dinas", "Head of the Dinas"),
    "admin": ("Admin kota", "City admin"),
    "next_member": ("anggota berikutnya", "the next member"),
    "assignee": ("petugas yang memegang", "the assignee"),
    "citizen": ("konsumen", "the consumer"),
    # what a step did
    "warn": ("diingatkan", "warned"),
    "notify": ("diberitahu", "notified"),
    "reassign": ("dialihkan", "reassigned"),
    "both": ("diberitahu dan dialihkan", "notified and reassigned"),
    "close": ("ditutup", "closed"),
    "no_target": ("tidak ada orang; naik langsung", "nobody there; went on at once"),
    # moves and events
    "ask_completion": ("Minta kelengkapan", "Ask for completion"),
    "resume": ("Lanjutkan", "Resume"),
    "register": ("Daftarkan sebagai perkara", "Register as a case"),
    "reopen": ("Buka kembali", "Reopen"),
    "withdraw": ("Dicabut pelapor", "Withdrawn"),
    "received": ("Laporan diterima", "Report received"),
    "routed": ("Diteruskan dan ditugaskan", "Routed and assigned"),
    "reassigned": ("Berganti petugas", "Reassigned"),
    "merged": ("Digabung sebagai duplikat", "Merged as a duplicate"),
    "unmerged": ("Penggabungan dibatalkan", "Merge taken back"),
    "took_over": ("Menerima gabungan laporan lain", "Took over another report"),
    "transferred": ("Dialihkan ke kantor lain", "Given to another office"),
    "hurried": ("Dinaikkan lebih awal", "Sent up early"),
    "implementation": ("pelaku usaha melaksanakan putusan, paling lambat", "the business carries the award out, by"),
    "objection": ("keberatan ke pengadilan negeri, sampai", "objection at the district court, until"),
    "passed_by": ("dilewati, tidak ada yang diingatkan", "passed over, nobody was warned"),
    "overtaken": ("terlewati oleh langkah berikutnya", "overtaken by the next step"),
    "amended": ("Pelapor memperbarui laporan", "Amended by the reporter"),
    "late_event": ("Kabar lama dari aplikasi kota, dicatat saja", "Late event from the city app, noted only"),
    "told_late": (
        "Pelapor terlambat diberi tahu; waktunya dikembalikan",
        "The consumer was told late; the time is given back",
    ),
    "due_moved": ("Tenggat bergeser", "Deadline moved"),
    "rules_renewed": ("Aturan diperbarui, tenggat tetap", "Rules renewed, the deadline stays"),
    "told_again": (
        "Aplikasi kota diberi kabar ulang setelah pemulihan cadangan",
        "The city app was told again after a restore from backup",
    ),
    "clock_stuck": ("Jam tidak dapat dihitung", "A clock could not be computed"),
    "new_report": ("Laporan baru untuk Anda", "A new report for you"),
    "escalation": ("Eskalasi", "Escalation"),
    "warning": ("Peringatan tenggat", "Deadline warning"),
    "withdrawn": ("Laporan dicabut", "Report withdrawn"),
    "digest": ("Ringkasan", "Digest"),
    "status_changed": ("Kabar ke aplikasi kota", "Status to the city app"),
    "forgotten": ("Data pribadi dihapus", "Personal data removed"),
    # why two reports may be the same
    "same_consumer": ("konsumen yang sama", "the same consumer"),
    "same_business": ("usaha yang sama", "the same business"),
    "like_text": ("uraian yang mirip", "a similar text"),
    "same_amount": ("jumlah yang sama", "the same amount"),
    "same_category": ("kategori yang sama", "the same category"),
    # what somebody looked at
    "contact": ("kontak pelapor", "the reporter's contact"),
    "attachment": ("lampiran pelapor", "what the reporter attached"),
    # states of a delivery
    "pending": ("menunggu dikirim", "pending"),
    "sending": ("sedang dikirim", "sending"),
    "delivered": ("terkirim", "delivered"),
    "failed": ("gagal, akan diulang", "failed, will be retried"),
    "given_up": ("menyerah", "given up"),
    "suppressed": ("tidak perlu lagi", "no longer needed"),
    # what is told, and by whose fault it was not
    "notice": ("pemberitahuan", "notice"),
    "callback": ("kabar ke kota", "callback"),
    "fault_ours": ("kesalahan kami", "our own fault"),
    "fault_refused": ("ditolak tujuan", "refused there"),
    "fault_away": ("tujuan tidak menjawab", "no answer there"),
    "begun": ("dimulai", "begun"),
    "by_email": ("e-mail", "e-mail"),
    "by_desk": ("meja kerja", "the desk"),
    "by_webhook": ("webhook", "webhook"),
    # why something waits although its time has come
    "held_quiet": ("jam tenang", "quiet hours"),
    "held_digest": ("menunggu ringkasan", "waits for the digest"),
    "held_burst": ("terlalu banyak sekaligus, dikumpulkan", "too many at once, gathered"),
    "held_breaker": ("tujuan sedang bermasalah", "its destination is in trouble"),
    "held_order": ("menunggu kabar yang lebih dulu", "an older one goes first"),
    # a destination with trouble
    "breaker_closed": ("masih dikirimi", "still tried"),
    "breaker_open": ("dibiarkan sebentar", "left alone for a while"),
    "breaker_half_open": ("dicoba dengan satu kiriman", "asked with one try"),
    # what lies aside
    "aside_waiting": ("menunggu", "waiting"),
    "aside_released": ("dilepaskan", "released"),
    "aside_discarded": ("dibuang", "discarded"),
    "aside_mended": ("diperbaiki", "mended"),
    "aside_invalid": ("bukan laporan yang sah", "no valid report"),
    "aside_id_reused": ("nomor kiriman dipakai dua kali", "webhook-id used twice"),
    "aside_dead_letter": ("gagal ditangani", "nobody could handle it"),
    # what is wrong with the clockwork
    "missed_steps": ("Langkah tenggat lewat dan belum dijalankan", "Steps overdue and not fired"),
    "clocks_stuck": ("Jam tidak dapat dihitung dan ditunda", "Clocks cannot be computed and are put off"),
    "outbox_late": ("Pesan tertahan di kotak keluar", "Messages wait in the outbox"),
    "deliveries_stranded": ("Kiriman terdampar", "Deliveries stranded"),
    "log_without_notices": ("Catatan eskalasi tanpa pemberitahuan", "Escalations without their notices"),
    "log_unsealed": ("Catatan eskalasi belum disegel", "Rows of the escalation log not sealed"),
    "log_cut_off": ("Ujung catatan eskalasi terpotong", "The end of the escalation log is cut off"),
    "log_head_lost": ("Ujung catatan eskalasi tidak dapat dijaga", "The head of the escalation log cannot be kept"),
    "long_transaction": ("Transaksi basis data terlalu lama", "A database transaction is open too long"),
    "dead_tuples": ("Basis data perlu dibersihkan", "The database is not being vacuumed"),
    "engine_held": ("Pengawas tenggat ditahan, tidak ada eskalasi", "The clocks are held, nothing escalates"),
    "watcher_silent": ("Pengawas tenggat tidak bekerja", "The watcher of clocks is not at work"),
    "auditor_silent": ("Pemeriksa tenggat tidak bekerja", "The auditor of clocks is not at work"),
    # why something lies aside
    "invalid": ("bukan laporan yang sah", "no valid report"),
    "id_reused": ("nomor webhook dipakai ulang", "webhook-id used again"),
    # states of a clock
    "exhausted": ("berjalan, semua sudah diberitahu", "running, everybody has been told"),
    "running": ("berjalan", "running"),
    "paused": ("berhenti sementara", "paused"),
    "met": ("terpenuhi", "met"),
    "cancelled": ("gugur", "cancelled"),
}


def say(word: str, language: str = "id") -> str:
    """Return a word in a language; one without translation is returned as it is."""
    both = WORDS.get(word)
    return both[language == "en"] if both else word


def when(at: datetime, language: str = "id") -> str:
    """Return an instant as people in Jakarta write it: `Senin, 24 Nov 2026 10.12 WIB`."""
    local = at.astimezone(ZONE)
    text = format_datetime(local, "EEEE, d MMM y HH.mm" if language == "id" else "EEEE, d MMM y HH:mm", locale=language)
    return f"{text} WIB"


def time_of_day(at: datetime, language: str = "id") -> str:
    """Return day, month and time, without the year."""
    return format_datetime(at.astimezone(ZONE), "d MMM HH.mm" if language == "id" else "d MMM HH:mm", locale=language)


def length(seconds: float, language: str = "id") -> str:
    """Return a length of working or wall-clock time in the two largest units: `1 j 20 m`, `2 j`, `45 d`."""
    hours, minutes, rest = int(seconds // 3600), int(seconds % 3600 // 60), int(seconds % 60)
    letters = ("j", "m", "d") if language == "id" else ("h", "m", "s")
    parts = [(hours, letters[0]), (minutes, letters[1]), (rest if not hours else 0, letters[2])]
    shown = [f"{number} {letter}" for number, letter in parts if number][:2]
    return " ".join(shown) or f"0 {letters[2]}"
