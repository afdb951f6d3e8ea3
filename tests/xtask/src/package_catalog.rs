//! A driver catalogue: the list of a package's files by their hashes, which is what Windows checks at installation.
//!
//! The format is Microsoft's certificate trust list in a PKCS #7 message without signers; signing it is another step. What
//! inf2cat writes was taken as the model: SHA-256, list members of version 2, each with the attributes `File` and `OSAttr`
//! and, as "indirect data", the hash once more. Left out are its second set of entries with SHA-1 and the hardware ids,
//! which serve Windows Update. osslsigncode takes these catalogues; **Windows has not seen one yet**.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// A file of the package.
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its hash: [`hash_of`].
    pub hash: Hash,
    /// Whether it is an image, whose hash leaves out the signature.
    pub image: bool,
}

impl Member {
    /// The member for a file with these contents.
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        let image = image_hash(bytes);
        Self { name: name.to_owned(), hash: image.unwrap_or_else(|| hash_of(bytes)), image: image.is_some() }
    }
}

/// The SHA-256 of `bytes`.
pub fn hash_of(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The Authenticode hash of a 64-bit image, which signing does not change: everything but the checksum, the directory
/// entry of the signature and the signature itself ("Windows Authenticode Portable Executable Signature Format").
/// Nothing for a file that is no such image.
pub fn image_hash(bytes: &[u8]) -> Option<Hash> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    if bytes.get(..2)? != b"MZ" {
        return None;
    }
    let headers = u32_at(0x3C)?;
    // The optional header begins after the signature and the file header; 0x20B is its magic number for 64 bits.
    let optional = headers + 4 + 20;
    if bytes.get(headers..headers + 4)? != b"PE\0\0" || bytes.get(optional..optional + 2)? != [0x0B, 0x02] {
        return None;
    }
    let checksum = optional + 64;
    let entry = optional + 112 + 4 * 8;
    let end = match u32_at(entry)? {
        0 => bytes.len(),
        signature => signature,
    };
    let mut hash = Sha256::new();
    hash.update(&bytes[..checksum]);
    hash.update(bytes.get(checksum + 4..entry)?);
    hash.update(bytes.get(entry + 8..end)?);
    // A signature begins on a multiple of eight; the hash of an unsigned file counts the same filling.
    hash.update(&[0; 8][..end.next_multiple_of(8) - end]);
    Some(hash.finalize().into())
}

/// The unsigned catalogue of `members`, dated `date` (`yymmdd`). The same arguments give the same bytes.
pub fn catalogue(members: &[Member], date: &str) -> Vec<u8> {
    let entries: Vec<u8> = members.iter().flat_map(entry).collect();
    let identifier = hash_of(&entries);
    let list = sequence(&[
        sequence(&[oid("1.3.6.1.4.1.311.12.1.1")]),
        octets(&identifier[..16]),
        tagged(0x17, format!("{date}000000Z").as_bytes()),
        // Members of version 2.
        sequence(&[oid("1.3.6.1.4.1.311.12.1.3"), null()]),
        sequence(&[entries]),
        // For which systems: Windows 10 and later, x64.
        tagged(0xA0, &sequence(&[extension("OS", "_v100_X64")])),
    ]);
    let content = sequence(&[oid("1.3.6.1.4.1.311.10.1"), tagged(0xA0, &list)]);
    let signed = sequence(&[integer(1), set(&[]), content, set(&[])]);
    sequence(&[oid("1.2.840.113549.1.7.2"), tagged(0xA0, &signed)])
}

/// One file.
fn entry(member: &Member) -> Vec<u8> {
    let attributes = set(&[
        attribute("1.3.6.1.4.1.311.12.2.3", tagged(0x82, &[])),
        attribute("1.3.6.1.4.1.311.12.2.1", name_value("OSAttr", "2:10.0")),
        attribute("1.3.6.1.4.1.311.12.2.1", name_value("File", &member.name)),
        attribute("1.3.6.1.4.1.311.2.1.4", indirect_data(member)),
    ]);
    sequence(&[octets(&member.hash), attributes])
}

/// The hash with its kind, as in a signature inside an image.
fn indirect_data(member: &Member) -> Vec<u8> {
    let nowhere = tagged(0xA2, &tagged(0x80, &[]));
    let kind = if member.image {
        // Flags 101 in a bit string of three bits, and an empty link.
        let data = sequence(&[tagged(0x03, &[5, 0xA0]), tagged(0xA0, &nowhere)]);
        sequence(&[oid("1.3.6.1.4.1.311.2.1.15"), data])
    } else {
        sequence(&[oid("1.3.6.1.4.1.311.2.1.25"), nowhere])
    };
    let sha256 = sequence(&[oid("2.16.840.1.101.3.4.2.1"), null()]);
    sequence(&[kind, sequence(&[sha256, octets(&member.hash)])])
}

/// What inf2cat gives every name and value: attribute, authenticated, in text.
const NAME_VALUE_FLAGS: u32 = 0x1001_0001;

fn name_value(name: &str, value: &str) -> Vec<u8> {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let value: Vec<u8> = value.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    sequence(&[tagged(0x1E, &name), integer(NAME_VALUE_FLAGS), octets(&value)])
}

fn attribute(kind: &str, value: Vec<u8>) -> Vec<u8> {
    sequence(&[oid(kind), set(&[value])])
}

fn extension(name: &str, value: &str) -> Vec<u8> {
    sequence(&[oid("1.3.6.1.4.1.311.12.2.1"), octets(&name_value(name, value))])
}

// DER (X.690): tag, length, contents.

fn tagged(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let short = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut der = vec![tag];
    if contents.len() >= 0x80 {
        der.push(0x80 | short.len() as u8);
    }
    der.extend(short);
    der.extend(contents);
    der
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

/// The members of a set are sorted by their encodings.
fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut parts = parts.to_vec();
    parts.sort();
    tagged(0x31, &parts.concat())
}

fn octets(bytes: &[u8]) -> Vec<u8> {
    tagged(0x04, bytes)
}

fn null() -> Vec<u8> {
    tagged(0x05, &[])
}

/// A positive integer whose highest bit is clear.
fn integer(value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(3);
    tagged(0x02, &bytes[first..])
}

fn oid(dotted: &str) -> Vec<u8> {
    let numbers: Vec<u32> = dotted.split('.').filter_map(|number| number.parse().ok()).collect();
    let mut body = vec![(numbers[0] * 40 + numbers[1]) as u8];
    for number in &numbers[2..] {
        let septets = (32 - number.leading_zeros()).div_ceil(7).max(1);
        for place in (0..septets).rev() {
            let last = if place == 0 { 0 } else { 0x80 };
            body.push(last | (number >> (7 * place) & 0x7F) as u8);
        }
    }
    tagged(0x06, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_those_of_the_standard() {
        assert_eq!(oid("1.2.840.113549.1.7.2"), [6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 7, 2]);
        assert_eq!(oid("2.16.840.1.101.3.4.2.1"), [6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]);
        assert_eq!(integer(1), [2, 1, 1]);
        assert_eq!(integer(0x1001_0001), [2, 4, 0x10, 1, 0, 1]);
        assert_eq!(null(), [5, 0]);
        assert_eq!(tagged(4, &[7; 0x7F])[..2], [4, 0x7F]);
        assert_eq!(tagged(4, &[7; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(tagged(4, &[7; 0x1234])[..4], [4, 0x82, 0x12, 0x34]);
        assert_eq!(set(&[vec![2], vec![1]]), [0x31, 2, 1, 2]);
    }

    /// An image of 64-bit headers only, 0x200 bytes, its last byte `last`.
    fn image(last: u8) -> Vec<u8> {
        let mut bytes = vec![0; 0x200];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3C] = 0x40;
        bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
        bytes[0x58..0x5A].copy_from_slice(&[0x0B, 0x02]);
        bytes[0x1FF] = last;
        bytes
    }

    #[test]
    fn the_hash_of_an_image_leaves_out_what_signing_writes() {
        let plain = image_hash(&image(1)).unwrap();
        assert_ne!(image_hash(&image(2)).unwrap(), plain, "contents count");

        let mut signed = image(1);
        let optional = 0x58;
        signed[optional + 64] = 0x99;
        signed[optional + 144..optional + 148].copy_from_slice(&0x200_u32.to_le_bytes());
        signed[optional + 148] = 16;
        signed.extend([0xEE; 16]);
        assert_eq!(image_hash(&signed).unwrap(), plain, "checksum and signature do not count");
    }

    #[test]
    fn other_files_and_cut_images_are_hashed_whole() {
        assert_eq!(image_hash(b"[Version]"), None);
        assert_eq!(image_hash(&image(1)[..0x90]), None);
        let member = Member::new("a.inf", b"[Version]");
        assert!(!member.image);
        assert_eq!(member.hash, hash_of(b"[Version]"));
    }

    #[test]
    fn a_catalogue_holds_every_hash_and_depends_on_nothing_else() {
        let members = [Member::new("a.inf", b"x"), Member::new("a.sys", &image(1))];
        let catalogue = |members: &[Member]| super::catalogue(members, "260131");
        let bytes = catalogue(&members);
        for member in &members {
            assert!(bytes.windows(32).any(|window| window == member.hash), "{}", member.name);
        }
        assert_eq!(bytes, catalogue(&members));
        assert_ne!(bytes, catalogue(&members[..1]));
    }
}
