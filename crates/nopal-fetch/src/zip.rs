//! Zip archives: the directory at their end, and members that are stored or deflated.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use crate::archive::ArchiveError;

/// What a zip archive begins with.
pub(crate) const MAGIC: &[u8] = b"PK\x03\x04";

const END_MAGIC: [u8; 4] = *b"PK\x05\x06";
const ENTRY_MAGIC: [u8; 4] = *b"PK\x01\x02";
/// The record at the end without its comment.
const END_BYTES: usize = 22;
/// The longest comment.
const MAX_COMMENT_BYTES: usize = 0xffff;
/// An entry of the directory without name, extra fields and comment.
const ENTRY_BYTES: usize = 46;
/// What stands before a member without name and extra fields.
const LOCAL_BYTES: usize = 30;
/// The largest directory that is read: millions of members.
const MAX_DIRECTORY_BYTES: u64 = 1 << 30;
/// The type bits of a Unix mode, and those of directories and symbolic links.
const TYPE_BITS: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
/// The system that made a member: Unix.
const UNIX: u8 = 3;
/// The extra field that holds times in seconds since 1970.
const TIMES: u16 = 0x5455;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File { executable: bool },
    Directory,
    Symlink,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    /// When it was modified, in seconds since 1970.
    pub(crate) modified_s: u64,
    method: u16,
    packed_bytes: u64,
    bytes: u64,
    offset: u64,
}

fn bad(reason: &str) -> ArchiveError {
    ArchiveError::Read(io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// Little-endian numbers of a record.
struct Record<'a>(&'a [u8]);

impl Record<'_> {
    fn u16(&self, at: usize) -> Result<u16, ArchiveError> {
        let bytes = self.0.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u16::from_le_bytes).ok_or_else(|| bad("the zip directory is cut off"))
    }

    fn u32(&self, at: usize) -> Result<u32, ArchiveError> {
        let bytes = self.0.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or_else(|| bad("the zip directory is cut off"))
    }
}

/// The members of an archive, as the directory at its end lists them.
pub(crate) fn members(archive: &mut (impl Read + Seek)) -> Result<Vec<Member>, ArchiveError> {
    let length = archive.seek(SeekFrom::End(0)).map_err(ArchiveError::Read)?;
    let tail_bytes = length.min((END_BYTES + MAX_COMMENT_BYTES) as u64);
    let tail = read_at(archive, length - tail_bytes, tail_bytes)?;
    let end =
        tail.windows(4).rposition(|window| window == END_MAGIC).ok_or_else(|| bad("the zip directory is missing"))?;
    let end = Record(&tail[end..]);
    let (count, size, offset) = (end.u16(10)?, u64::from(end.u32(12)?), u64::from(end.u32(16)?));
    if size == u64::from(u32::MAX) || offset == u64::from(u32::MAX) || count == u16::MAX {
        return Err(bad("zip archives with 64-bit sizes are not read"));
    }
    if size > MAX_DIRECTORY_BYTES || offset.saturating_add(size) > length {
        return Err(bad("the zip directory lies outside the archive"));
    }
    let directory = read_at(archive, offset, size)?;
    let mut rest = &directory[..];
    let mut members = Vec::new();
    for _ in 0..count {
        let record = Record(rest);
        if !rest.starts_with(&ENTRY_MAGIC) {
            return Err(bad("the zip directory is damaged"));
        }
        let (name, extra, comment) = (record.u16(28)?, record.u16(30)?, record.u16(32)?);
        let name_end = ENTRY_BYTES + usize::from(name);
        let extra_end = name_end + usize::from(extra);
        let name = rest.get(ENTRY_BYTES..name_end).ok_or_else(|| bad("the zip directory is cut off"))?;
        let extra = rest.get(name_end..extra_end).ok_or_else(|| bad("the zip directory is cut off"))?;
        if record.u16(8)? & 1 != 0 {
            return Err(bad("the zip archive is encrypted"));
        }
        let mode = if record.u16(4)? >> 8 == u16::from(UNIX) { record.u32(38)? >> 16 } else { 0 };
        let kind = match mode & TYPE_BITS {
            DIRECTORY => Kind::Directory,
            SYMLINK => Kind::Symlink,
            _ if name.ends_with(b"/") => Kind::Directory,
            _ => Kind::File { executable: mode & 0o111 != 0 },
        };
        members.push(Member {
            name: name.to_vec(),
            kind,
            modified_s: times(extra)
                .unwrap_or_else(|| dos_time(record.u16(14).unwrap_or(0), record.u16(12).unwrap_or(0))),
            method: record.u16(10)?,
            packed_bytes: u64::from(record.u32(20)?),
            bytes: u64::from(record.u32(24)?),
            offset: u64::from(record.u32(42)?),
        });
        rest = rest.get(extra_end + usize::from(comment)..).ok_or_else(|| bad("the zip directory is cut off"))?;
    }
    Ok(members)
}

/// The contents of a member.
pub(crate) fn contents<'a>(
    archive: &'a mut (impl Read + Seek),
    member: &Member,
) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    let local = read_at(archive, member.offset, LOCAL_BYTES as u64)?;
    let local = Record(&local);
    if local.0.get(..4) != Some(MAGIC) {
        return Err(bad("a member of the zip archive is not where it should be"));
    }
    let skip = i64::from(local.u16(26)?) + i64::from(local.u16(28)?);
    archive.seek(SeekFrom::Current(skip)).map_err(ArchiveError::Read)?;
    let packed = archive.take(member.packed_bytes);
    Ok(match member.method {
        0 => Box::new(packed),
        // no more than the directory says, whatever the stream holds
        8 => Box::new(flate2::bufread::DeflateDecoder::new(BufReader::new(packed)).take(member.bytes)),
        _ => return Err(bad("a member of the zip archive is compressed in a way that is not known")),
    })
}

fn read_at(archive: &mut (impl Read + Seek), offset: u64, length: u64) -> Result<Vec<u8>, ArchiveError> {
    archive.seek(SeekFrom::Start(offset)).map_err(ArchiveError::Read)?;
    let mut bytes = Vec::new();
    archive.take(length).read_to_end(&mut bytes).map_err(ArchiveError::Read)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(bad("the zip archive is cut off")) }
}

/// The time of modification in the extra fields.
fn times(extra: &[u8]) -> Option<u64> {
    let mut rest = extra;
    loop {
        let record = Record(rest);
        let (kind, length) = (record.u16(0).ok()?, usize::from(record.u16(2).ok()?));
        if kind == TIMES && length >= 5 && rest.get(4)? & 1 != 0 {
            return record.u32(5).ok().map(u64::from);
        }
        rest = rest.get(4 + length..)?;
    }
}

/// A date and time of DOS, taken for UTC, in seconds since 1970.
fn dos_time(date: u16, time: u16) -> u64 {
    let (year, month, day) = (1980 + u64::from(date >> 9), u64::from(date >> 5 & 15), u64::from(date & 31));
    // days from the first of March of year 0, so that the leap day is the last of a year
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + day.max(1) - 1;
    let seconds = u64::from(time >> 11) * 3600 + u64::from(time >> 5 & 63) * 60 + u64::from(time & 31) * 2;
    days.saturating_sub(719_468) * 86_400 + seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_dos_are_seconds() {
        // 2024-05-09 15:47:04
        assert_eq!(dos_time((44 << 9) | (5 << 5) | 9, (15 << 11) | (47 << 5) | 2), 1_715_269_624);
        assert_eq!(dos_time((1 << 5) | 1, 0), 315_532_800);
    }

    #[test]
    fn anything_else_is_an_error() {
        assert!(members(&mut io::Cursor::new(b"PK\x03\x04 and no more")).is_err());
        let mut end = b"PK\x05\x06".to_vec();
        end.extend([0, 0, 0, 0, 1, 0, 1, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(members(&mut io::Cursor::new(end)).is_err());
    }
}
