//! The layout of `builtins.toXML`: two spaces per level, attributes sorted by name.

use std::io::{self, Write};

/// The first line of every document.
pub const PROLOGUE: &[u8] = b"<?xml version='1.0' encoding='utf-8'?>\n";

/// Spaces that a line begins with for each element that it is in.
const INDENTATION: usize = 2;

/// Writes elements; remembers the open ones.
#[derive(Debug, Default)]
pub struct XmlWriter {
    out: Vec<u8>,
    open: Vec<&'static str>,
}

impl XmlWriter {
    /// A document that has its prologue.
    pub fn new() -> Self {
        XmlWriter { out: PROLOGUE.to_vec(), open: Vec::new() }
    }

    /// How many bytes are written so far, without indentation.
    pub fn written_bytes(&self) -> usize {
        self.out.len()
    }

    /// Opens an element; `attributes` in order of their names.
    pub fn open(&mut self, name: &'static str, attributes: &[(&str, &[u8])]) {
        self.tag(name, attributes);
        self.out.extend_from_slice(b">\n");
        self.open.push(name);
    }

    /// Closes the innermost open element.
    pub fn close(&mut self) {
        let Some(name) = self.open.pop() else { return };
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b">\n");
    }

    /// An element without content.
    pub fn empty(&mut self, name: &str, attributes: &[(&str, &[u8])]) {
        self.tag(name, attributes);
        self.out.extend_from_slice(b" />\n");
    }

    /// Closes what is open and returns the document.
    pub fn finish(mut self) -> Document {
        while !self.open.is_empty() {
            self.close();
        }
        Document(self.out)
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &[u8])]) {
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        for (key, value) in attributes {
            self.out.push(b' ');
            self.out.extend_from_slice(key.as_bytes());
            self.out.extend_from_slice(b"=\"");
            escape(&mut self.out, value);
            self.out.push(b'"');
        }
    }
}

/// A document, kept without indentation: a set that contains itself is as deep as calls may be, and of its gigabytes
/// nearly all are spaces.
#[derive(Clone, Debug, Default)]
pub struct Document(Vec<u8>);

impl Document {
    /// The lines, and how many spaces are before each.
    fn lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut depth = 0_usize;
        self.0.split_inclusive(|byte| *byte == b'\n').map(move |line| {
            if line.starts_with(b"</") {
                depth = depth.saturating_sub(1);
                return (INDENTATION * depth, line);
            }
            let around = depth;
            // no text or attribute has a bare '>' in it
            if !line.ends_with(b"/>\n") && !line.ends_with(b"?>\n") {
                depth += 1;
            }
            (INDENTATION * around, line)
        })
    }

    /// How many bytes it has with indentation.
    pub fn size_bytes(&self) -> usize {
        self.lines().map(|(spaces, line)| spaces + line.len()).sum()
    }

    /// The bytes with indentation.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len());
        for (spaces, line) in self.lines() {
            bytes.resize(bytes.len() + spaces, b' ');
            bytes.extend_from_slice(line);
        }
        bytes
    }

    /// Writes the bytes with indentation, in small pieces.
    ///
    /// # Errors
    /// That of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        const SPACES: [u8; 4096] = [b' '; 4096];
        for (mut spaces, line) in self.lines() {
            while spaces > 0 {
                let some = &SPACES[..spaces.min(SPACES.len())];
                out.write_all(some)?;
                spaces -= some.len();
            }
            out.write_all(line)?;
        }
        Ok(())
    }
}

fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"&quot;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            // keeps a line feed from being normalised to a space
            b'\n' => out.extend_from_slice(b"&#xA;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let mut xml = XmlWriter::new();
        xml.open("expr", &[]);
        xml.open("list", &[]);
        xml.empty("string", &[("value", b"<\"a\n&>")]);
        let document = xml.finish();
        let mut written = Vec::new();
        document.write(&mut written).unwrap();
        assert_eq!((&written, written.len()), (&document.to_bytes(), document.size_bytes()));
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "<?xml version='1.0' encoding='utf-8'?>\n<expr>\n  <list>\n    <string value=\"&lt;&quot;a&#xA;&amp;&gt;\" \
             />\n  </list>\n</expr>\n"
        );
    }
}
