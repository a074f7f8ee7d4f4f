//! A struct whose fields are the keys of a mapping.

use std::path::Path;

use super::emit::Yaml;
use super::field::{Decoded, Decoder, Field, merge};
use super::node::{Node, Value};
use super::{Abort, field};

/// What printing does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Left out when empty.
    Omit,
    /// Always printed.
    Keep,
    /// As `Omit`, in flow style: `[a, b]`.
    Flow,
}

/// One field of a section, found by its key.
pub struct Slot<'a> {
    pub field: &'a mut dyn Field,
    /// The error for a null element, for lists that must have none.
    pub null: Option<&'static str>,
    /// Names of types that Go has for this field alone, beside those that they stand for.
    pub go: &'static [(&'static str, &'static str)],
}

/// A struct made by [`section!`].
pub trait Section: Field + Default {
    const GO_TYPE: &'static str;

    fn slot(&mut self, key: &str) -> Option<Slot<'_>>;

    /// Visits the fields in the order they are printed, those of inlined sections included.
    fn visit(&self, visitor: &mut dyn FnMut(&'static str, Mode, &dyn Field));

    fn visit_mut(&mut self, visitor: &mut dyn FnMut(&mut dyn Field));

    /// What cannot be said of one field alone; called when all fields were taken.
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// Takes a mapping into a section that starts from its default.
pub fn decode_section<S: Section>(section: &mut S, decoder: &mut Decoder, node: &Node) -> Decoded {
    let fault_count = decoder.fault_count();
    *section = S::default();
    let null = decode_fields(section, decoder, node)?;
    if decoder.fault_count() > fault_count {
        return Ok(false);
    }
    if let Some(text) = null {
        return Err(Abort::at(node.line, text));
    }
    section.check().map_err(|message| Abort::at(node.line, message))?;
    Ok(true)
}

/// Takes the keys of a mapping; returns the error text of a null element if there was one.
fn decode_fields<S: Section>(
    section: &mut S,
    decoder: &mut Decoder,
    node: &Node,
) -> Result<Option<&'static str>, Abort> {
    let Value::Mapping(pairs) = &node.value else {
        decoder.mismatch(node, S::GO_TYPE);
        return Ok(None);
    };
    let mut null_text = None;
    let mut seen: Vec<String> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        if key.is_merge() {
            merge(decoder, value, &mut |decoder, node| {
                null_text = null_text.or(decode_fields(section, decoder, node)?);
                Ok(true)
            })?;
            continue;
        }
        let Some(name) = field::text(decoder, key, "string")? else { continue };
        let Some(slot) = section.slot(&name) else {
            if decoder.takes_unknown_fields() {
                continue;
            }
            let text = format!("field {name} not found in type {}", S::GO_TYPE);
            decoder.note(key.line, &text);
            continue;
        };
        if seen.contains(&name) {
            let text = format!("field {name} already set in type {}", S::GO_TYPE);
            decoder.note(key.line, &text);
            continue;
        }
        seen.push(name);
        if let (Some(text), Value::Sequence(items)) = (slot.null, &value.value)
            && items.iter().any(|item| item.is_null())
        {
            null_text = null_text.or(Some(text));
        }
        decoder.named(slot.go, |decoder| decoder.decode(value, slot.field))?;
    }
    Ok(null_text)
}

pub fn section_is_empty<S: Section>(section: &S) -> bool {
    let mut empty = true;
    section.visit(&mut |_, _, field| empty &= field.is_empty());
    empty
}

pub fn section_to_yaml<S: Section>(section: &S) -> Yaml {
    let mut pairs = Vec::new();
    section.visit(&mut |key, mode, field| {
        if mode == Mode::Keep || !field.is_empty() {
            let value = match (mode, field.to_yaml()) {
                (Mode::Flow, Yaml::Sequence(items)) => Yaml::Flow(items),
                (_, value) => value,
            };
            pairs.push((key.to_owned(), value));
        }
    });
    Yaml::Mapping(pairs)
}

pub fn section_join_dir<S: Section>(section: &mut S, dir: &Path) {
    section.visit_mut(&mut |field| field.join_dir(dir));
}

/// Declares a section: a struct and how its fields are read, defaulted, printed.
///
/// ```text
/// section! {
///     /// Doc.
///     pub struct Name("go.Type") check Name::method;
///     omit field: Type = default;             left out of print when empty
///     keep field as "key": Type;              always printed; default is the zero value
///     flow field: Vec<String>;                printed as [a, b]
///     inline field: Section = default;        its keys are keys of this section
///     omit list: Vec<T>, null "error text";   refuses null elements
///     omit field: Type, go "uint" => "uint64";   how errors call its type
/// }
/// ```
macro_rules! section {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($go:literal) $(check $check:path)?;
        $(
            $(#[$field_meta:meta])*
            $mode:ident $field:ident $(as $key:literal)?: $type:ty $(= $default:expr)?
            $(, null $null:literal)? $(, go $($plain:literal => $alias:literal),+)?;
        )*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($field: $crate::config::yaml::section!(@default $type $(, $default)?),)*
                }
            }
        }

        impl $crate::config::yaml::Section for $name {
            const GO_TYPE: &'static str = $go;

            #[allow(unused_variables)]
            fn slot(&mut self, key: &str) -> Option<$crate::config::yaml::Slot<'_>> {
                $($crate::config::yaml::section!(
                    @slot $mode self key $field ($($key)?) ($($null)?) ($($($plain $alias)+)?)
                );)*
                None
            }

            #[allow(unused_variables)]
            fn visit(
                &self,
                visitor: &mut dyn FnMut(
                    &'static str,
                    $crate::config::yaml::Mode,
                    &dyn $crate::config::yaml::Field,
                ),
            ) {
                $($crate::config::yaml::section!(@visit $mode self visitor $field ($($key)?));)*
            }

            #[allow(unused_variables)]
            fn visit_mut(&mut self, visitor: &mut dyn FnMut(&mut dyn $crate::config::yaml::Field)) {
                $(visitor(&mut self.$field);)*
            }

            $(fn check(&mut self) -> Result<(), String> {
                $check(self)
            })?
        }

        impl $crate::config::yaml::Field for $name {
            fn go_type() -> String {
                $go.to_owned()
            }
            fn zero() -> Self {
                $name { $($field: <$type as $crate::config::yaml::Field>::zero(),)* }
            }
            fn set_zero(&mut self) {
                *self = <$name as $crate::config::yaml::Field>::zero();
            }
            fn is_empty(&self) -> bool {
                $crate::config::yaml::section_is_empty(self)
            }
            fn decode(
                &mut self,
                decoder: &mut $crate::config::yaml::Decoder,
                node: &$crate::config::yaml::Node,
            ) -> $crate::config::yaml::Decoded {
                $crate::config::yaml::decode_section(self, decoder, node)
            }
            fn to_yaml(&self) -> $crate::config::yaml::Yaml {
                $crate::config::yaml::section_to_yaml(self)
            }
            fn join_dir(&mut self, dir: &std::path::Path) {
                $crate::config::yaml::section_join_dir(self, dir);
            }
        }
    };

    (@default $type:ty) => { <$type as $crate::config::yaml::Field>::zero() };
    (@default $type:ty, $default:expr) => { $default };

    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };

    (@slot inline $self:ident $wanted:ident $field:ident () () ()) => {
        if let Some(slot) = $crate::config::yaml::Section::slot(&mut $self.$field, $wanted) {
            return Some(slot);
        }
    };
    (
        @slot $mode:ident $self:ident $wanted:ident $field:ident
        ($($key:literal)?) ($($null:literal)?) ($($plain:literal $alias:literal)*)
    ) => {
        if $wanted == $crate::config::yaml::section!(@key $field $($key)?) {
            #[allow(unused_mut, unused_assignments)]
            let mut null = None;
            $(null = Some($null);)?
            let go = &[$(($plain, $alias)),*];
            return Some($crate::config::yaml::Slot { field: &mut $self.$field, null, go });
        }
    };

    (@visit inline $self:ident $visitor:ident $field:ident ()) => {
        $crate::config::yaml::Section::visit(&$self.$field, $visitor);
    };
    (@visit $mode:ident $self:ident $visitor:ident $field:ident ($($key:literal)?)) => {
        $visitor(
            $crate::config::yaml::section!(@key $field $($key)?),
            $crate::config::yaml::section!(@mode $mode),
            &$self.$field,
        );
    };

    (@mode omit) => { $crate::config::yaml::Mode::Omit };
    (@mode keep) => { $crate::config::yaml::Mode::Keep };
    (@mode flow) => { $crate::config::yaml::Mode::Flow };
}
pub(crate) use section;
