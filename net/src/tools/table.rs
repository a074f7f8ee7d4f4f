//! Columns as Go's `text/tabwriter` aligns them.

/// Lines of cells, each padded to the widest of its column and `padding`, but for the last where
/// `pads_last` is not set. No cell holds a line break.
pub(super) fn aligned(
    rows: &[Vec<String>],
    width_min: usize,
    padding: usize,
    pads_last: bool,
) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            (widest + padding).max(width_min)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if pads_last || column + 1 < row.len() {
                let blanks = widths[column] - cell.chars().count();
                out.extend(std::iter::repeat_n(' ', blanks));
            }
        }
        out.push('\n');
    }
    out
}
