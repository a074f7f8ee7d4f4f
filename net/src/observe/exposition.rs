//! Writes Prometheus's text format, version 0.0.4.

use std::fmt::Write;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

/// A page of metrics in the making.
#[derive(Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &str, help: &str, kind: Kind) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str()));
    }

    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (index, (name, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if index == 0 { '{' } else { ',' };
            self.write(format_args!("{before}{name}=\"{value}\""));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        self.write(format_args!("{after} {}\n", Value(value)));
    }

    /// A family of one sample without labels.
    pub fn single(&mut self, name: &str, help: &str, kind: Kind, value: f64) {
        self.family(name, help, kind);
        self.sample(name, &[], value);
    }

    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.single(name, help, Kind::Counter, value as f64);
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.single(name, help, Kind::Gauge, value);
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.text.write_fmt(arguments).expect("writing to memory cannot fail");
    }

    pub fn finish(self) -> Vec<u8> {
        self.text.into_bytes()
    }
}

/// A number as the format wants it.
struct Value(f64);

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value if value.fract() == 0.0 && value.abs() < 1e15 => write!(f, "{}", value as i64),
            value => f.write_str(zmij::Buffer::new().format_finite(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Exposition, Kind};

    #[test]
    fn a_page() {
        let mut page = Exposition::default();
        page.counter("a_total", "Some\nhelp.", 3);
        page.family("b", "B.", Kind::Gauge);
        page.sample("b", &[("x", "1\"2"), ("y", "z")], 0.5);
        page.sample("b", &[], f64::INFINITY);
        page.sample("b", &[], 1.7e18);
        assert_eq!(
            String::from_utf8(page.finish()).unwrap(),
            "# HELP a_total Some\\nhelp.\n# TYPE a_total counter\na_total 3\n\
             # HELP b B.\n# TYPE b gauge\nb{x=\"1\\\"2\",y=\"z\"} 0.5\nb +Inf\nb 1.7e+18\n"
        );
    }
}
