//! A JSON writer for answers that are not query results (those are `wire::json`).
//!
//! What a value looks like is `wire::json`'s business; commas are this one's.

use engine::model::LabelsRef;

use crate::wire::json::{push_html_text, push_labels, push_number, push_text};

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
        push_html_text(self.out, text.as_bytes());
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

    /// A finite float.
    pub fn float(&mut self, value: f64) {
        self.separate();
        push_number(self.out, value);
    }

    pub fn bool(&mut self, value: bool) {
        self.raw(if value { b"true" } else { b"false" });
    }

    /// JSON that is at hand.
    pub fn raw(&mut self, json: &[u8]) {
        self.separate();
        self.out.extend_from_slice(json);
    }

    /// Names with values as an object, escaped as labels are; a value may be empty.
    pub fn pairs(&mut self, pairs: &[(String, String)]) {
        self.begin_object();
        for (name, value) in pairs {
            self.separate();
            push_text(self.out, name.as_bytes());
            self.out.push(b':');
            push_text(self.out, value.as_bytes());
        }
        self.end_object();
    }

    /// A label set as an object. Prometheus writes these without the extra escapes of HTML.
    pub fn labels(&mut self, labels: LabelsRef<'_>) {
        self.separate();
        push_labels(self.out, labels);
    }
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
