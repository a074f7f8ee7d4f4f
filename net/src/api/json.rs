//! A JSON writer for answers that are not query results (those are `wire::json`).
//!
//! Strings are escaped as Go's encoder does by default: `<`, `>` and `&` too, and the line
//! separators U+2028 and U+2029. Label sets are the exception, see [`Json::labels`].

use std::io::Write;

use engine::model::LabelsRef;

/// Appends to a byte vector. Commas are its business, nesting is the caller's.
pub struct Json<'a> {
    out: &'a mut Vec<u8>,
    /// Something stands before in the same object or array.
    comma: bool,
}

impl<'a> Json<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Json<'a> {
        Json { out, comma: false }
    }

    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = true;
    }

    pub fn begin_object(&mut self) {
        self.separate();
        self.out.push(b'{');
        self.comma = false;
    }

    pub fn end_object(&mut self) {
        self.out.push(b'}');
        self.comma = true;
    }

    pub fn begin_array(&mut self) {
        self.separate();
        self.out.push(b'[');
        self.comma = false;
    }

    pub fn end_array(&mut self) {
        self.out.push(b']');
        self.comma = true;
    }

    /// The name of an object's field; its value follows.
    pub fn field(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.out.push(b':');
        self.comma = false;
        self
    }

    pub fn text(&mut self, text: &str) {
        self.separate();
        push_text(self.out, text.as_bytes(), true);
    }

    pub fn texts<T: AsRef<str>>(&mut self, texts: &[T]) {
        self.begin_array();
        for text in texts {
            self.text(text.as_ref());
        }
        self.end_array();
    }

    pub fn int(&mut self, value: i64) {
        self.separate();
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A finite float, shortest digits. (Go writes exponents only beyond 1e21 and below 1e-6; numbers
    /// of seconds do not get there.)
    pub fn float(&mut self, value: f64) {
        self.separate();
        let mut buffer = zmij::Buffer::new();
        let shortest = buffer.format_finite(value);
        let shortest = shortest.strip_suffix(".0").unwrap_or(shortest);
        self.out.extend_from_slice(shortest.as_bytes());
    }

    pub fn bool(&mut self, value: bool) {
        self.raw(if value { b"true" } else { b"false" });
    }

    /// JSON that is at hand.
    pub fn raw(&mut self, json: &[u8]) {
        self.separate();
        self.out.extend_from_slice(json);
    }

    /// A label set as an object. Prometheus writes these without the extra escapes of HTML.
    pub fn labels(&mut self, labels: LabelsRef<'_>) {
        self.begin_object();
        for (name, value) in labels.iter() {
            self.separate();
            push_text(self.out, name, false);
            self.out.push(b':');
            push_text(self.out, value, false);
        }
        self.end_object();
    }
}

/// Appends `bytes` as a string; what is not UTF-8 is replaced as Go replaces it.
pub fn push_text(out: &mut Vec<u8>, bytes: &[u8], html: bool) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        push_valid(out, chunk.valid(), html);
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn push_valid(out: &mut Vec<u8>, text: &str, html: bool) {
    for char in text.chars() {
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\x1f' => push_escape(out, char),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' if html => push_escape(out, char),
            _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn push_escape(out: &mut Vec<u8>, char: char) {
    write!(out, "\\u{:04x}", u32::from(char)).expect("writing to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::Json;
    use engine::model::Labels;

    #[test]
    fn values_are_separated_and_escaped() {
        let mut out = vec![];
        let mut json = Json::new(&mut out);
        json.begin_object();
        json.field("a").int(-1);
        json.field("b").texts(&["x", "<&>\"\\\n\u{1}\u{2028}é"]);
        json.field("c").begin_array();
        json.bool(true);
        json.float(0.25);
        json.begin_object();
        json.end_object();
        json.end_array();
        json.field("d").labels(Labels::from_pairs([("a", "<b>"), ("c", "\"")]).as_ref());
        json.field("e").raw(b"null");
        json.end_object();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"a\":-1,\"b\":[\"x\",\"\\u003c\\u0026\\u003e\\\"\\\\\\n\\u0001\\u2028é\"],\
             \"c\":[true,0.25,{}],\"d\":{\"a\":\"<b>\",\"c\":\"\\\"\"},\"e\":null}"
        );
    }
}
