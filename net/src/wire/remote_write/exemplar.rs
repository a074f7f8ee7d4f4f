//! Exemplars of a request. What no receiver would store (labels far too long, or no text) is left
//! out here: Prometheus tells its log of it, and not the sender.

use engine::model::{Exemplar, Labels, LabelsBuilder};

use super::proto::{Broken, Field, Message, label};
use super::{Decoded, Span};

/// Most bytes of an exemplar's labels that are read. Prometheus stores 128 characters.
const LABEL_BYTES_MAX: usize = 128 * 4;

/// Fields that both protocols have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExemplarFields {
    value: f64,
    timestamp_ms: i64,
}

impl ExemplarFields {
    pub fn read(&mut self, field: &Field) -> Result<(), Broken> {
        match field.number {
            2 => self.value = field.double()?,
            3 => self.timestamp_ms = field.varint()? as i64,
            _ => {}
        }
        Ok(())
    }
}

/// An exemplar of protocol 1, with its labels.
pub(super) fn exemplar_v1(
    request: &[u8],
    span: Span,
    series: u32,
    out: &mut Decoded,
) -> Result<(), Broken> {
    let mut fields = ExemplarFields::default();
    let mut labels = vec![];
    let mut message = Message::within(request, span);
    while let Some(field) = message.next_field()? {
        if field.number == 1 {
            let (name, value) = label(request, field.bytes()?.span)?;
            labels.push((name.span, value.span));
        } else {
            fields.read(&field)?;
        }
    }
    push(request, labels.into_iter(), fields, series, out);
    Ok(())
}

/// Adds an exemplar whose labels stand at these places.
pub(super) fn push(
    request: &[u8],
    labels: impl Iterator<Item = (Span, Span)> + Clone,
    fields: ExemplarFields,
    series: u32,
    out: &mut Decoded,
) {
    let Some(labels) = labels_of(request, labels) else {
        out.exemplars_left_out += 1;
        return;
    };
    let ExemplarFields { value, timestamp_ms } = fields;
    let timestamp_ms = Some(timestamp_ms);
    out.batch.push_exemplar(Exemplar { series, labels, value, timestamp_ms });
}

fn labels_of(request: &[u8], labels: impl Iterator<Item = (Span, Span)> + Clone) -> Option<Labels> {
    let bytes: usize =
        labels.clone().map(|(name, value)| name.of(request).len() + value.of(request).len()).sum();
    if bytes > LABEL_BYTES_MAX {
        return None;
    }
    let mut builder = LabelsBuilder::default();
    for (name, value) in labels {
        let (name, value) = (name.of(request), value.of(request));
        if simdutf8::basic::from_utf8(name).is_err() || simdutf8::basic::from_utf8(value).is_err() {
            return None;
        }
        builder.set(name, value);
    }
    Some(builder.finish())
}
