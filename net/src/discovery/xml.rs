//! XML as some APIs answer: a tree of elements with their texts. Attributes are kept, namespaces
//! are part of the names, comments and declarations are passed over.

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Element>,
    /// Without blanks at its ends.
    pub text: String,
}

impl Element {
    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Text at the end of a path of children; empty if there is none.
    pub fn text_at(&self, path: &[&str]) -> &str {
        let end = path.iter().try_fold(self, |element, name| element.child(name));
        end.map_or("", |element| &element.text)
    }

    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// The outermost element of a document.
pub fn parse(text: &str) -> Result<Element, String> {
    let mut open: Vec<Element> = vec![];
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        if let Some(element) = open.last_mut() {
            element.text.push_str(&unescaped(before));
        }
        let skipped = [("<?", "?>"), ("<!--", "-->"), ("<!", ">")];
        if let Some(data) = tag.strip_prefix("<![CDATA[") {
            let (data, after) = data.split_once("]]>").ok_or("an open CDATA section")?;
            if let Some(element) = open.last_mut() {
                element.text.push_str(data);
            }
            rest = after;
            continue;
        }
        if let Some((_, end)) = skipped.iter().find(|(start, _)| tag.starts_with(start)) {
            rest = tag.split_once(end).ok_or("an open declaration")?.1;
            continue;
        }
        let (inner, after) = tag[1..].split_once('>').ok_or("an open tag")?;
        rest = after;
        if let Some(name) = inner.strip_prefix('/') {
            let mut element = open.pop().ok_or("a closing tag without its opening one")?;
            if element.name != name.trim() {
                return Err(format!("</{name}> closes <{}>", element.name));
            }
            element.text = element.text.trim().to_owned();
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None => return Ok(element),
            }
            continue;
        }
        let is_empty = inner.ends_with('/');
        let element = start(inner.trim_end_matches('/'));
        if is_empty {
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None => return Ok(element),
            }
        } else if open.len() < DEPTH_MAX {
            open.push(element);
        } else {
            return Err("too deep".to_owned());
        }
    }
    Err("unexpected end of XML".to_owned())
}

fn start(inner: &str) -> Element {
    let inner = inner.trim();
    let (name, mut rest) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
    let mut element = Element { name: name.to_owned(), ..Element::default() };
    while let Some((key, value)) = rest.split_once('=') {
        let value = value.trim_start();
        let quote = value.chars().next().filter(|quote| "\"'".contains(*quote));
        let Some((value, after)) = quote.and_then(|quote| value[1..].split_once(quote)) else {
            break;
        };
        element.attributes.push((key.trim().to_owned(), unescaped(value)));
        rest = after;
    }
    element
}

/// A text as it stands in an element.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescaped(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, tail) = after.split_once(';').unwrap_or((after, ""));
        let number = name.strip_prefix('#').and_then(|number| match number.strip_prefix('x') {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        });
        match name {
            "amp" => out.push('&'),
            "lt" => out.push('<'),
            "gt" => out.push('>'),
            "quot" => out.push('"'),
            "apos" => out.push('\''),
            _ => out.extend(number.and_then(char::from_u32)),
        }
        rest = tail;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn documents() {
        let tree = parse(
            "<?xml version=\"1.0\"?><!-- c --><a x='1' y=\"&lt;2\"><b>one &amp; &#65;</b><b/>\n\
             <c><![CDATA[<raw>]]></c></a>",
        )
        .unwrap();
        assert_eq!((tree.attribute("x"), tree.attribute("y")), ("1", "<2"));
        assert_eq!(tree.text_at(&["b"]), "one & A");
        assert_eq!(tree.all("b").count(), 2);
        assert_eq!(tree.text_at(&["c"]), "<raw>");
        assert_eq!(tree.text_at(&["c", "d"]), "");
        for broken in ["", "<a>", "<a></b>", "</a>", "<a", "<!--", "<a><![CDATA[</a>"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
        assert_eq!(parse(&"<a>".repeat(100)), Err("too deep".into()));
    }
}
