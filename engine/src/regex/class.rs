//! Character classes: Perl's and POSIX's (ASCII only, as in Go), Unicode's categories and scripts.
//!
//! A class is a set of Unicode scalar values. Go's classes are sets of code points, surrogates
//! among them; those match no text, so they are left out here.
//!
//! Categories and scripts are those of Unicode 16, folding is simple folding; Go's depend on the
//! release that Prometheus was built with (15 to 17).

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// Greatest code point. Numbers in patterns beyond it are refused.
pub(super) const CODE_POINT_MAX: u32 = char::MAX as u32;

/// Adds `low..=high`; the surrogates among them vanish.
pub(super) fn push_range(class: &mut ClassUnicode, low: u32, high: u32) {
    let mut push = |low: u32, high: u32| {
        if let (Some(low), Some(high)) = (char::from_u32(low), char::from_u32(high))
            && low <= high
        {
            class.push(ClassUnicodeRange::new(low, high));
        }
    };
    push(low, high.min(0xd7ff));
    push(low.max(0xe000), high);
}

/// Adds all of `group`, folded and negated as asked: folding comes first.
pub(super) fn push_group(
    class: &mut ClassUnicode,
    mut group: ClassUnicode,
    fold: bool,
    negate: bool,
) {
    if fold {
        group.case_fold_simple();
    }
    if negate {
        group.negate();
    }
    class.union(&group);
}

/// `\d`, `\s`, `\w` and their capitals: the class and whether it is negated.
pub(super) fn perl(letter: u8) -> Option<(ClassUnicode, bool)> {
    let ranges = match letter.to_ascii_lowercase() {
        b'd' => "09",
        // No vertical tab, unlike `[[:space:]]`.
        b's' => "\t\n\x0c\r  ",
        b'w' => "09AZ__az",
        _ => return None,
    };
    Some((from_pairs(ranges), letter.is_ascii_uppercase()))
}

/// The class named `name` in `[[:name:]]`.
pub(super) fn posix(name: &str) -> Option<ClassUnicode> {
    Some(from_pairs(match name {
        "alnum" => "09AZaz",
        "alpha" => "AZaz",
        "ascii" => "\0\x7f",
        "blank" => "\t\t  ",
        "cntrl" => "\0\x1f\x7f\x7f",
        "digit" => "09",
        "graph" => "!~",
        "lower" => "az",
        "print" => " ~",
        "punct" => "!/:@[`{~",
        "space" => "\t\r  ",
        "upper" => "AZ",
        "word" => "09AZ__az",
        "xdigit" => "09AFaf",
        _ => return None,
    }))
}

/// Ranges written as first and last character, one after the other.
fn from_pairs(pairs: &str) -> ClassUnicode {
    let bytes = pairs.as_bytes();
    ClassUnicode::new(
        bytes
            .chunks_exact(2)
            .map(|pair| ClassUnicodeRange::new(char::from(pair[0]), char::from(pair[1]))),
    )
}

/// The class of `\p{name}`: a general category or a script, in Unicode's spelling exactly.
pub(super) fn unicode(name: &str) -> Option<ClassUnicode> {
    match name {
        "Any" => Some(ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)])),
        // Surrogates: code points that no text holds.
        "Cs" => Some(ClassUnicode::empty()),
        _ if CATEGORIES.contains(&name) => table(&format!(r"\p{{gc={name}}}")),
        _ if SCRIPTS.contains(&name) => table(&format!(r"\p{{sc={name}}}")),
        _ => None,
    }
}

/// Reads a class out of regex-syntax's own tables.
fn table(pattern: &str) -> Option<ClassUnicode> {
    match regex_syntax::parse(pattern).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            Some(ClassUnicode::new(text.chars().map(|c| ClassUnicodeRange::new(c, c))))
        }
        _ => None,
    }
}

/// Source: Unicode's general categories, as in Go `unicode.Categories`.
const CATEGORIES: [&str; 38] = [
    "C", "Cc", "Cf", "Cn", "Co", "L", "LC", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn",
    "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm",
    "So", "Z", "Zl", "Zp", "Zs", "Cs",
];

/// Source: Unicode 16 `Scripts.txt`, as in Go `unicode.Scripts`.
#[rustfmt::skip]
const SCRIPTS: [&str; 170] = [
    "Adlam", "Ahom", "Anatolian_Hieroglyphs", "Arabic", "Armenian", "Avestan", "Balinese", "Bamum",
    "Bassa_Vah", "Batak", "Bengali", "Bhaiksuki", "Bopomofo", "Brahmi", "Braille", "Buginese",
    "Buhid", "Canadian_Aboriginal", "Carian", "Caucasian_Albanian", "Chakma", "Cham", "Cherokee",
    "Chorasmian", "Common", "Coptic", "Cuneiform", "Cypriot", "Cypro_Minoan", "Cyrillic", "Deseret",
    "Devanagari", "Dives_Akuru", "Dogra", "Duployan", "Egyptian_Hieroglyphs", "Elbasan", "Elymaic",
    "Ethiopic", "Garay", "Georgian", "Glagolitic", "Gothic", "Grantha", "Greek", "Gujarati",
    "Gunjala_Gondi", "Gurmukhi", "Gurung_Khema", "Han", "Hangul", "Hanifi_Rohingya", "Hanunoo",
    "Hatran", "Hebrew", "Hiragana", "Imperial_Aramaic", "Inherited", "Inscriptional_Pahlavi",
    "Inscriptional_Parthian", "Javanese", "Kaithi", "Kannada", "Katakana", "Kawi", "Kayah_Li",
    "Kharoshthi", "Khitan_Small_Script", "Khmer", "Khojki", "Khudawadi", "Kirat_Rai", "Lao",
    "Latin", "Lepcha", "Limbu", "Linear_A", "Linear_B", "Lisu", "Lycian", "Lydian", "Mahajani",
    "Makasar", "Malayalam", "Mandaic", "Manichaean", "Marchen", "Masaram_Gondi", "Medefaidrin",
    "Meetei_Mayek", "Mende_Kikakui", "Meroitic_Cursive", "Meroitic_Hieroglyphs", "Miao", "Modi",
    "Mongolian", "Mro", "Multani", "Myanmar", "Nabataean", "Nag_Mundari", "Nandinagari",
    "New_Tai_Lue", "Newa", "Nko", "Nushu", "Nyiakeng_Puachue_Hmong", "Ogham", "Ol_Chiki", "Ol_Onal",
    "Old_Hungarian", "Old_Italic", "Old_North_Arabian", "Old_Permic", "Old_Persian", "Old_Sogdian",
    "Old_South_Arabian", "Old_Turkic", "Old_Uyghur", "Oriya", "Osage", "Osmanya", "Pahawh_Hmong",
    "Palmyrene", "Pau_Cin_Hau", "Phags_Pa", "Phoenician", "Psalter_Pahlavi", "Rejang", "Runic",
    "Samaritan", "Saurashtra", "Sharada", "Shavian", "Siddham", "SignWriting", "Sinhala", "Sogdian",
    "Sora_Sompeng", "Soyombo", "Sundanese", "Sunuwar", "Syloti_Nagri", "Syriac", "Tagalog",
    "Tagbanwa", "Tai_Le", "Tai_Tham", "Tai_Viet", "Takri", "Tamil", "Tangsa", "Tangut", "Telugu",
    "Thaana", "Thai", "Tibetan", "Tifinagh", "Tirhuta", "Todhri", "Toto", "Tulu_Tigalari",
    "Ugaritic", "Vai", "Vithkuqi", "Wancho", "Warang_Citi", "Yezidi", "Yi", "Zanabazar_Square",
];
