#!/usr/bin/env python3
"""A short script for the job of a first pass, to compare with: fetch the
headers, leave receipts alone, fetch certified mail, verify each envelope with
`openssl cms -verify`, read daticert.xml, look for the password with one
regular expression, and keep the newest one of each sender, encrypted with
openssl. It does less than the program: no check of names, dates and chains
beyond openssl's, no other wordings, no audit, no fsync.

usage: bench-script.py HOST PORT USER PASSWORD-FILE TLS-CA PEC-CA FOLDER
prints: N passwords
"""
import email
import email.policy
import imaplib
import os
import re
import ssl
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

host, port, user, password_file, tls_ca, pec_ca, folder = sys.argv[1:8]
PASSWORD = re.compile(r"^(?:.*[Pp]assword[^:\n]*:\s*)(\S+)\s*$", re.M)


def verified(raw, work):
    """The signed part, if openssl says that it is signed by a PEC provider."""
    message, out = os.path.join(work, "message.eml"), os.path.join(work, "content")
    with open(message, "wb") as f:
        f.write(raw)
    r = subprocess.run(["openssl", "cms", "-verify", "-in", message, "-CAfile", pec_ca, "-out", out],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if r.returncode != 0:
        return None
    with open(out, "rb") as f:
        return email.message_from_binary_file(f)


def submission(signed):
    """Sender, time and password of a letter, or None."""
    xml = original = None
    for part in signed.get_payload():
        name = part.get_filename() or part.get_param("name")
        if name == "daticert.xml":
            xml = ET.fromstring(part.get_payload(decode=True))
        elif name == "postacert.eml":
            original = part.get_payload(0)
    if xml is None or original is None or xml.get("tipo") != "posta-certificata":
        return None
    sender = xml.findtext("intestazione/mittente").lower()
    date = xml.find("dati/data")
    day, month, year = date.findtext("giorno").split("/")
    when = year + month + day + date.findtext("ora")
    for part in original.walk():
        if part.get_content_type() == "text/plain" and not part.get_filename():
            text = part.get_payload(decode=True).decode(part.get_content_charset() or "utf-8", "replace")
            lines = [l.strip() for l in text.splitlines()]
            found = PASSWORD.search(text)
            if found:
                return sender, when, found.group(1)
            for label, blank, value in zip(lines, lines[1:], lines[2:]):
                if "assword" in label and label.endswith(":") and not blank and value and " " not in value:
                    return sender, when, value
    return None


with open(password_file) as f:
    password = f.read().strip()
imap = imaplib.IMAP4_SSL(host, int(port), ssl_context=ssl.create_default_context(cafile=tls_ca))
imap.login(user, password)
imap.select("INBOX", readonly=True)
uids = imap.uid("SEARCH", "ALL")[1][0].split()
certified = []
for i in range(0, len(uids), 500):
    answer = imap.uid("FETCH", b",".join(uids[i:i + 500]), "(UID BODY.PEEK[HEADER.FIELDS (X-TRASPORTO)])")[1]
    for item in answer:
        if isinstance(item, tuple) and b"posta-certificata" in item[1]:
            certified.append(re.search(rb"UID (\d+)", item[0]).group(1))

newest = {}
with tempfile.TemporaryDirectory(dir=folder) as work:
    for i in range(0, len(certified), 20):
        answer = imap.uid("FETCH", b",".join(certified[i:i + 20]), "(UID BODY.PEEK[])")[1]
        for item in answer:
            if not isinstance(item, tuple):
                continue
            signed = verified(item[1], work)
            found = submission(signed) if signed is not None else None
            if found and found[1] > newest.get(found[0], ("",))[0]:
                newest[found[0]] = found[1:]
    plain = "".join(f"{s} {p}\n" for s, (_, p) in sorted(newest.items()))
    subprocess.run(["openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-pass", "file:" + password_file, "-out", os.path.join(work, "passwords")],
                   input=plain.encode(), check=True)
imap.logout()
print(len(newest), "passwords")
