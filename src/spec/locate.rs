//! The JSON path of a line and column, so that a parse error names the field and not only the place.

/// The path of the value that ends at `line` and `column` (both from 1, as serde_json counts),
/// followed by `: `; empty where the text before it is no JSON. Runs only once a parse has failed.
pub(super) fn path_at(json: &[u8], line: usize, column: usize) -> String {
    let before: usize = json
        .split_inclusive(|&b| b == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    // The last byte of the value may close an object, which would end its own path.
    let end = (before + column.saturating_sub(1)).min(json.len());
    let mut open: Vec<Step> = Vec::new();
    let mut at = 0;
    while at < end {
        match json[at] {
            b'{' => open.push(Step::Key(String::new())),
            b'[' => open.push(Step::Index(0)),
            b'}' | b']' => drop(open.pop()),
            b',' => match open.last_mut() {
                Some(Step::Index(index)) => *index += 1,
                Some(Step::Key(key)) => key.clear(),
                None => {}
            },
            b'"' => {
                let start = at + 1;
                at = closing_quote(json, start);
                if let Some(Step::Key(key)) = open.last_mut()
                    && key.is_empty()
                {
                    *key = String::from_utf8_lossy(&json[start..at]).into_owned();
                }
            }
            _ => {}
        }
        at += 1;
    }
    // What is wrong at the end of an object is the object: a member is missing.
    if json.get(end) == Some(&b'}')
        && let Some(Step::Key(key)) = open.last_mut()
    {
        key.clear();
    }
    words(&open)
}

enum Step {
    /// Empty until the key is read.
    Key(String),
    Index(usize),
}

/// Where the string ends that begins at `start`: at its quote, or at the end of the text.
fn closing_quote(json: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    at.min(json.len())
}

fn words(open: &[Step]) -> String {
    let mut text = String::new();
    for step in open {
        match step {
            Step::Key(key) if key.is_empty() => break,
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    if !text.is_empty() {
        text.push_str(": ");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_a_path() {
        let json = b"{\"a\": {\"b\": [1, {\"c\\\"d\": \"x,y\"}, 7]},\n \"e\": 5}";
        for (line, column, path) in [
            (1, 14, "a.b[0]: "),
            (1, 30, "a.b[1].c\\\"d: "),
            (1, 31, "a.b[1]: "),
            (1, 34, "a.b[2]: "),
            (1, 36, "a: "),
            (2, 7, "e: "),
            (9, 9, ""),
            (1, 1, ""),
            (0, 0, ""),
        ] {
            assert_eq!(path_at(json, line, column), path, "{line}:{column}");
        }
    }

    #[test]
    fn text_that_is_no_json_has_no_path_and_no_panic() {
        for text in [
            "",
            "\"",
            "\"\\",
            "]}",
            "{]",
            "[[[",
            "{\"a\\",
            ",,,",
            "{\"\": {\"b\": 1",
        ] {
            for column in 0..20 {
                path_at(text.as_bytes(), 1, column);
            }
        }
    }
}
