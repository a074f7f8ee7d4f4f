//! Where the raw texts of a target's series stand, each once.
//!
//! ```text
//! layout   # TYPE a gauge\na{x="1"} │ a{x="2"} │ b │ …     most texts: of lines like any other
//! arena    c{x="3"} d{x="4"} 21 labels e …                 lines with exemplars, pages without a
//!                                                          layout, what the page under way added
//! ```
//!
//! With a new layout the texts of its lines move there, and the others into a new arena.

use std::rc::Rc;

use engine::model::{LabelsRef, MetricType};

use crate::wire::text::layout::Layout;

/// How the labels of a series come from its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Relabelling drops the series.
    Dropped,
    /// They are made from the text when they are wanted, with the type in force at its line.
    Made(MetricType),
    /// They are kept behind it in the arena: the text does not tell them.
    Kept,
}

/// Where a text stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    start: u32,
    /// Its length, and in the highest bit whether it stands in the layout.
    bytes: u32,
}

const IN_LAYOUT: u32 = 1 << 31;

/// Of the length before kept labels.
const LENGTH_BYTES: usize = size_of::<u32>();

impl Text {
    /// In place of a text that is no more.
    pub const NONE: Text = Text { start: 0, bytes: 0 };

    fn bytes(self) -> usize {
        (self.bytes & !IN_LAYOUT) as usize
    }

    fn end(self) -> usize {
        self.start as usize + self.bytes()
    }
}

#[derive(Default)]
pub(super) struct Texts {
    layout: Rc<Layout>,
    arena: Vec<u8>,
}

impl Texts {
    pub fn layout(&self) -> &Rc<Layout> {
        &self.layout
    }

    pub fn raw(&self, text: Text) -> &[u8] {
        let place = if text.bytes & IN_LAYOUT != 0 { self.layout.text() } else { &self.arena };
        &place[text.start as usize..][..text.bytes()]
    }

    /// The labels behind a text of [`Form::Kept`].
    pub fn labels(&self, text: Text) -> LabelsRef<'_> {
        let (length, rest) = self.arena[text.end()..].split_at(LENGTH_BYTES);
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        LabelsRef::from_canonical(&rest[..length as usize])
    }

    /// Adds a text to the arena, and `labels` with [`Form::Kept`]. None if there is no more room.
    pub fn add(&mut self, raw: &[u8], form: Form, labels: LabelsRef<'_>) -> Option<Text> {
        let labels = labels.as_bytes();
        let start = u32::try_from(self.arena.len()).ok()?;
        let bytes = u32::try_from(raw.len()).ok().filter(|bytes| bytes & IN_LAYOUT == 0)?;
        u32::try_from(self.arena.len() + raw.len() + LENGTH_BYTES + labels.len()).ok()?;
        self.arena.extend_from_slice(raw);
        if form == Form::Kept {
            self.arena.extend_from_slice(&(labels.len() as u32).to_le_bytes());
            self.arena.extend_from_slice(labels);
        }
        Some(Text { start, bytes })
    }

    /// Puts a layout in force. `texts` are all that stay, by their line in it.
    pub fn settle<'t>(
        &mut self,
        layout: Layout,
        texts: impl ExactSizeIterator<Item = (&'t mut Text, Form)>,
    ) {
        let layout = Rc::new(layout);
        let before = std::mem::replace(self, Texts { layout: layout.clone(), arena: vec![] });
        let mut ends = vec![None; texts.len()];
        for (line, end) in layout.series_ends() {
            ends[line as usize] = Some(end);
        }
        for ((text, form), end) in texts.zip(ends) {
            let is_kept = form == Form::Kept;
            *text = match end {
                Some(end) if !is_kept => {
                    let bytes = text.bytes() as u32;
                    Text { start: end - bytes, bytes: bytes | IN_LAYOUT }
                }
                _ => {
                    let labels = if is_kept { before.labels(*text) } else { LabelsRef::EMPTY };
                    let kept = self.add(before.raw(*text), form, labels);
                    kept.expect("the arena before had room for more")
                }
            };
        }
        self.arena.shrink_to_fit();
    }
}
