//! Tables, as lists are printed.

/// Columns at least twelve wide and three apart, the last one as it is.
pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let length = |cell: &String| cell.chars().count();
    let widths: [usize; N] = std::array::from_fn(|column| {
        let widest = rows.iter().map(|row| length(&row[column])).max();
        (widest.unwrap_or(0) + 3).max(12)
    });
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            text += cell;
            if column + 1 < N {
                text.extend(std::iter::repeat_n(' ', widths[column] - length(cell)));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells() {
        let rows = [
            ["ID", "PID", "OWNER"].map(String::from),
            ["é", "123456789012", "root"].map(String::from),
        ];
        assert_eq!(
            aligned(&rows),
            "ID          PID            OWNER\n\
             é           123456789012   root\n"
        );
    }
}
