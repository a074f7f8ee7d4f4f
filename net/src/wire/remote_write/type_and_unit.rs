//! Labels of type and unit, out of the metadata that series of protocol 2 carry.
//!
//! Source: Prometheus `storage/remote/write_handler.go` (`appendV2`), `schema/labels.go`
//! (`Metadata.AddToLabels`).

use engine::model::labels::{TYPE_LABEL, UNIT_LABEL};
use engine::model::{LabelsBuilder, MetricType};

use super::{Decoded, MetadataOwner};

impl Decoded {
    /// Gives every series of the batch that states its type or unit labels of them; what it says in
    /// their place is lost.
    pub(super) fn add_type_and_unit(&mut self, request: &[u8]) {
        let mut stated = vec![None; self.batch.series_count()];
        for metadata in &self.metadata {
            let unit = metadata.unit.of(request);
            let is_unknown = metadata.metric_type == MetricType::Unknown;
            if let MetadataOwner::Series(series) = metadata.owner
                && !(is_unknown && unit.is_empty())
            {
                let metric_type = if is_unknown { "" } else { metadata.metric_type.as_str() };
                stated[series as usize] = Some((metric_type.as_bytes(), unit));
            }
        }
        if stated.iter().all(Option::is_none) {
            return;
        }
        self.batch.change_labels(|series, labels| {
            let (metric_type, unit) = stated[series as usize]?;
            let mut builder = LabelsBuilder::from_labels(labels);
            // An empty value takes a label away.
            builder.set(TYPE_LABEL, metric_type);
            builder.set(UNIT_LABEL, unit);
            Some(builder.finish())
        });
    }
}

#[cfg(test)]
mod tests {
    use engine::model::{Labels, MetricType};

    use crate::wire::remote_write::{Decoded, Metadata, MetadataOwner, Span};

    #[test]
    fn series_get_labels_of_what_their_metadata_states() {
        let request = b"seconds";
        let (seconds, none) = (Span { start: 0, end: 7 }, Span { start: 0, end: 0 });
        let mut decoded = Decoded::default();
        let mut check = |metric_type, unit, before: &[(&str, &str)], after: &str| {
            let labels = Labels::from_pairs(before.iter().copied());
            let series = decoded.batch.push_series(labels.as_ref());
            let owner = MetadataOwner::Series(series);
            decoded.metadata.push(Metadata { owner, metric_type, help: none, unit });
            decoded.add_type_and_unit(request);
            let got = decoded.batch.labels(series);
            assert_eq!(got.to_string(), after);
            assert_eq!(decoded.batch.hashes()[series as usize], got.stable_hash());
        };
        let name = ("__name__", "a");
        check(
            MetricType::Unknown,
            none,
            &[name, ("__type__", "x")],
            r#"{__name__="a", __type__="x"}"#,
        );
        check(
            MetricType::Gauge,
            none,
            &[name, ("__unit__", "x")],
            r#"{__name__="a", __type__="gauge"}"#,
        );
        let both = r#"{__name__="a", __type__="counter", __unit__="seconds", b="c"}"#;
        check(MetricType::Counter, seconds, &[name, ("__type__", "x"), ("b", "c")], both);
        check(MetricType::Unknown, seconds, &[name], r#"{__name__="a", __unit__="seconds"}"#);
    }
}
