//! The compressions of archives and indexes.

use std::io::{self, BufReader, Read};

/// Memory that unpacking xz may take, in bytes; the strongest preset needs 65 MB.
const MAX_XZ_MEMORY_BYTES: u64 = 512 << 20;

/// Largest window of a zstd stream, as a power of two; `--long=31` is the most zstd can make.
const MAX_ZSTD_WINDOW_LOG: u32 = 31;

/// A compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Stored as it is.
    None,
    /// gzip.
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// The older format of xz's author.
    Lzma,
    /// zstd.
    Zstd,
}

/// The compression that a file name's extension stands for; none for any other.
pub fn of_name(name: &str) -> Compression {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("gz") => Compression::Gzip,
        Some("bz2") => Compression::Bzip2,
        Some("xz") => Compression::Xz,
        Some("lzma") => Compression::Lzma,
        Some("zst") => Compression::Zstd,
        _ => Compression::None,
    }
}

/// The compression that the first bytes of a file show; none for any other.
pub fn sniff(head: &[u8]) -> Compression {
    match head {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [b'B', b'Z', b'h', ..] => Compression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        [0x5d, 0, 0, ..] => Compression::Lzma,
        _ => Compression::None,
    }
}

/// Unpacks while reading. Concatenated streams are read as one, as the command-line tools do.
///
/// # Errors
/// When the decompressor cannot be set up (memory).
pub fn reader<'a>(packed: impl Read + 'a, compression: Compression) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(packed)),
        Compression::Xz => {
            let stream =
                liblzma::stream::Stream::new_stream_decoder(MAX_XZ_MEMORY_BYTES, liblzma::stream::CONCATENATED)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(BufReader::with_capacity(1 << 16, packed), stream))
        }
        Compression::Lzma => {
            let stream = liblzma::stream::Stream::new_lzma_decoder(MAX_XZ_MEMORY_BYTES)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(BufReader::with_capacity(1 << 16, packed), stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(packed)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}
