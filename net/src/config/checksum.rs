//! Whether the files of the configuration changed: a checksum over the main file, the rule files
//! and the files of scrape configurations that it names.
//!
//! Source: Prometheus `config/reload.go` (`GenerateChecksum`).

use std::path::Path;

use ring::digest::{Context, SHA256};

use super::path::glob;
use super::yaml::{self, Node, Value};

/// Checksum of all files, as they are now.
///
/// # Errors
///
/// A file that cannot be read, a main file that is no YAML, a malformed pattern.
pub fn checksum(main: &Path) -> Result<Vec<u8>, String> {
    let text = std::fs::read_to_string(main)
        .map_err(|error| format!("error reading YAML file: open {}: {error}", main.display()))?;
    let tree = yaml::tree(&text)
        .map_err(|abort| format!("error unmarshalling YAML: {}", abort.message))?;
    let dir = main.parent().unwrap_or(Path::new(""));
    let mut sum = Context::new(&SHA256);
    sum.update(text.as_bytes());
    for (key, kind) in [("rule_files", "r"), ("scrape_config_files", "s")] {
        let list = tree.as_ref().and_then(|tree| tree.get(key));
        for pattern in list.map(texts).unwrap_or_default() {
            let pattern = dir.join(pattern).to_string_lossy().into_owned();
            let files = glob(&pattern)
                .map_err(|why| format!("error finding files with pattern {pattern:?}: {why}"))?;
            for file in files {
                let name = file.display();
                let content = std::fs::read(&file)
                    .map_err(|error| format!("error reading file {name}: {error}"))?;
                sum.update(format!("{kind}\0{name}\0").as_bytes());
                sum.update(&content);
                sum.update(b"\0");
            }
        }
    }
    Ok(sum.finish().as_ref().to_vec())
}

/// The scalars of a list; anything else is for whoever loads the file to refuse.
fn texts(node: &Node) -> Vec<&str> {
    let Value::Sequence(items) = &node.value else { return vec![] };
    let texts = items.iter().filter_map(|item| match &item.value {
        Value::Scalar { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::checksum;

    #[test]
    fn every_file_that_is_named_counts() {
        let dir = std::env::temp_dir().join(format!("hearth-checksum-{}", std::process::id()));
        fs::create_dir_all(dir.join("rules")).unwrap();
        let main = dir.join("prometheus.yml");
        let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
        let sum = || checksum(&main);
        assert!(sum().unwrap_err().starts_with("error reading YAML file: open "));
        write("prometheus.yml", "rule_files: [rules/*.yml]\nscrape_config_files: [more.yml]\n");
        let first = sum().unwrap();
        assert_eq!(sum().unwrap(), first);
        write("rules/a.yml", "groups: []\n");
        let second = sum().unwrap();
        assert_ne!(second, first);
        write("more.yml", "scrape_configs: []\n");
        let third = sum().unwrap();
        assert_ne!(third, second);
        write("other.yml", "x");
        assert_eq!(sum().unwrap(), third);
        fs::rename(dir.join("rules/a.yml"), dir.join("rules/b.yml")).unwrap();
        assert_ne!(sum().unwrap(), third);
        write("prometheus.yml", "rule_files: [");
        assert!(sum().unwrap_err().starts_with("error unmarshalling YAML: "));
        fs::remove_dir_all(dir).unwrap();
    }
}
