//! `--enable-feature`: what each name asks for and what hearth does about it.

use super::flags::Fate;

/// Names Prometheus knows.
const FEATURES: &[(&str, Fate)] = &[
    ("auto-reload-config", Fate::Carried),
    ("concurrent-rule-eval", Fate::Carried),
    ("created-timestamp-zero-ingestion", Fate::Warned(AS_SUCH)),
    ("delayed-compaction", Fate::Warned(OWN_COMPACTION)),
    ("exemplar-storage", Fate::Carried),
    ("extra-scrape-metrics", Fate::Carried),
    ("fast-startup", Fate::Warned("hearth's log needs no such file")),
    ("histograms-st-encoding", Fate::Warned(OWN_ENCODING)),
    ("memory-snapshot-on-shutdown", Fate::Warned(ALWAYS)),
    ("metadata-wal-records", Fate::Warned(ALWAYS)),
    ("native-histograms", Fate::Warned(SCRAPE_OPTION)),
    ("old-ui", Fate::Warned("there is one web page only")),
    ("ooo-native-histograms", Fate::Warned(ALWAYS)),
    ("otlp-deltatocumulative", Fate::Warned(NOT_YET)),
    ("otlp-native-delta-ingestion", Fate::Warned(NOT_YET)),
    ("promql-binop-fill-modifiers", Fate::Carried),
    ("promql-delayed-name-removal", Fate::Carried),
    ("promql-duration-expr", Fate::Warned(ALWAYS)),
    ("promql-experimental-functions", Fate::Carried),
    ("promql-extended-range-selectors", Fate::Carried),
    ("promql-per-step-stats", Fate::Warned("all but samplesReadPerStep is told")),
    ("search-api", Fate::Warned(NOT_YET)),
    ("st-storage", Fate::Carried),
    ("st-synthesis", Fate::Warned(NOT_YET)),
    ("type-and-unit-labels", Fate::Carried),
    ("use-start-timestamps", Fate::Carried),
    ("use-uncached-io", Fate::Warned("hearth chooses how it writes by itself")),
    ("xor2-encoding", Fate::Warned(OWN_ENCODING)),
];

const NOT_YET: &str = "hearth does not carry it out yet";
const SCRAPE_OPTION: &str = "scrape_native_histograms of the scrape configuration says it";
const AS_SUCH: &str = "start timestamps are kept as such, no samples of zero are made of them";
const ALWAYS: &str = "it is always on";
const OWN_COMPACTION: &str = "hearth compacts in a way of its own";
const OWN_ENCODING: &str = "hearth chooses encodings by itself";

/// The features that are enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    names: Vec<String>,
}

impl Features {
    /// Reads lists of names separated by commas.
    pub fn from_lists(lists: &[String]) -> Features {
        let names = lists.iter().flat_map(|list| list.split(','));
        Features { names: names.filter(|name| !name.is_empty()).map(str::to_owned).collect() }
    }

    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }

    /// A sentence for every name that is unknown or changes nothing.
    ///
    /// # Errors
    ///
    /// Features that exclude each other, in Prometheus's words.
    pub fn warnings(&self) -> Result<Vec<String>, String> {
        if self.has("otlp-deltatocumulative") && self.has("otlp-native-delta-ingestion") {
            return Err("cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion \
                        features at the same time"
                .to_owned());
        }
        let warning = |name: &String| match FEATURES.iter().find(|(known, _)| known == name) {
            Some((_, Fate::Carried)) => None,
            Some((_, Fate::Warned(why) | Fate::Refused(why))) => {
                Some(format!("--enable-feature={name} changes nothing: {why}"))
            }
            None => Some(format!("Unknown option for --enable-feature: {name}")),
        };
        Ok(self.names.iter().filter_map(warning).collect())
    }
}
