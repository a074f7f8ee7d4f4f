//! What differs between two JSON values, in colours: green came, red went, yellow changed.
//!
//! Source: nsf/jsondiff, what its console options print.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::wire::quote::quoted;

const ADDED: &str = "\x1b[0;32m";
const REMOVED: &str = "\x1b[0;31m";
const CHANGED: &str = "\x1b[0;33m";
const PLAIN: &str = "\x1b[0m";

struct Printer {
    out: String,
    level: usize,
    /// The colour that holds; it is set anew on each line.
    colour: &'static str,
}

/// Prints both values as one.
pub(super) fn diff(left: &Value, right: &Value) -> String {
    let mut printer = Printer { out: String::new(), level: 0, colour: "" };
    printer.compare(left, right);
    printer.out
}

impl Printer {
    fn newline(&mut self, end: &str) {
        self.out.push_str(end);
        if !self.colour.is_empty() {
            self.out.push_str(PLAIN);
        }
        self.out.push('\n');
        self.out.push_str(&"    ".repeat(self.level));
        self.out.push_str(self.colour);
    }

    fn coloured(&mut self, colour: &'static str, print: impl FnOnce(&mut Printer)) {
        self.out.push_str(colour);
        self.colour = colour;
        print(self);
        self.out.push_str(PLAIN);
        self.colour = "";
    }

    fn key(&mut self, key: &str) {
        self.out.push_str(&quoted(key.as_bytes()));
        self.out.push_str(": ");
    }

    /// Prints items of a list or object between its brackets.
    fn items<T>(&mut self, brackets: [&str; 2], items: Vec<T>, print: impl Fn(&mut Printer, &T)) {
        self.out.push_str(brackets[0]);
        let count = items.len();
        if count > 0 {
            self.level += 1;
            self.newline("");
        }
        for (index, item) in items.iter().enumerate() {
            print(self, item);
            if index + 1 < count {
                self.newline(",");
            } else {
                self.level -= 1;
                self.newline("");
            }
        }
        self.out.push_str(brackets[1]);
    }

    fn whole(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.out.push_str(&quoted(text.as_bytes())),
            Value::Array(values) => {
                self.items(["[", "]"], values.iter().collect(), |printer, value| {
                    printer.whole(value);
                });
            }
            Value::Object(fields) => {
                self.items(["{", "}"], fields.iter().collect(), |printer, (key, value)| {
                    printer.key(key);
                    printer.whole(value);
                });
            }
            plain => self.out.push_str(&plain.to_string()),
        }
    }

    /// One place of both: there is an item on at least one side.
    fn pair(&mut self, key: Option<&str>, left: Option<&Value>, right: Option<&Value>) {
        let whole = |printer: &mut Printer, value: &Value| {
            key.into_iter().for_each(|key| printer.key(key));
            printer.whole(value);
        };
        match (left, right) {
            (Some(left), Some(right)) => {
                key.into_iter().for_each(|key| self.key(key));
                self.compare(left, right);
            }
            (Some(left), None) => self.coloured(REMOVED, |printer| whole(printer, left)),
            (None, Some(right)) => self.coloured(ADDED, |printer| whole(printer, right)),
            (None, None) => {}
        }
    }

    fn compare(&mut self, left: &Value, right: &Value) {
        match (left, right) {
            (Value::Array(left), Value::Array(right)) => {
                let places = (0..left.len().max(right.len())).collect();
                self.items(["[", "]"], places, |printer, &place| {
                    printer.pair(None, left.get(place), right.get(place));
                });
            }
            (Value::Object(left), Value::Object(right)) => {
                let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
                self.items(["{", "}"], keys.into_iter().collect(), |printer, key| {
                    printer.pair(Some(key), left.get(*key), right.get(*key));
                });
            }
            (left, right) if left == right => self.whole(left),
            (left, right) => self.coloured(CHANGED, |printer| {
                printer.whole(left);
                printer.out.push_str(" => ");
                printer.whole(right);
            }),
        }
    }
}
