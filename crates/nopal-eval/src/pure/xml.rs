//! The layout of `builtins.toXML`: two spaces per level, attributes sorted by name.

/// The first line of every document.
pub const PROLOGUE: &[u8] = b"<?xml version='1.0' encoding='utf-8'?>\n";

/// Writes elements with indentation; remembers the open ones.
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

    /// How many bytes are written so far.
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
        self.indent();
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
    pub fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    fn indent(&mut self) {
        let width = 2 * self.open.len();
        self.out.resize(self.out.len() + width, b' ');
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &[u8])]) {
        self.indent();
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
        let text = String::from_utf8(xml.finish()).unwrap();
        assert_eq!(
            text,
            "<?xml version='1.0' encoding='utf-8'?>\n<expr>\n  <list>\n    <string value=\"&lt;&quot;a&#xA;&amp;&gt;\" \
             />\n  </list>\n</expr>\n"
        );
    }
}
