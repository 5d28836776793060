//! CSV as in RFC 4180, for spreadsheets.

use crate::row::{Cell, Row};

/// The first line, without its end: the columns that users rely on.
pub const CSV_HEADER: &str = "origin,index,id,recorded,time,tenant,category,action,severity,outcome,\
    actor_id,actor_name,on_behalf_of,resource_type,resource_id,ip,request_id,correlation_id,description,error";

/// What the header goes on with if the JSON of an event is asked for, too.
pub const CSV_JSON_HEADER: &str = ",before,after,changes,details";

/// Their positions in [`columns`].
const JSON_PLACES: [usize; 4] = [31, 32, 33, 34];

/// The positions of the usual ones.
const PLACES: [usize; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 16, 18, 19, 21, 23, 24, 11, 10];

/// Appends the event's row, with the line end; with its JSON if the header has that.
pub fn write_csv_row(origin: &str, row: &Row<'_>, has_json: bool, out: &mut Vec<u8>) {
    let more = if has_json { &JSON_PLACES[..] } else { &[] };
    for &place in PLACES.iter().chain(more) {
        if place > 0 {
            out.push(b',');
        }
        match row.cell(place, origin) {
            Cell::Text(text) => write_text(&text, out),
            Cell::Time(time) => out.extend_from_slice(&time.to_text()),
            Cell::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            // None of the columns has these kinds.
            Cell::Float(_) | Cell::Boolean(_) | Cell::Null => {}
        }
    }
    out.push(b'\n');
}

/// A spreadsheet would execute a cell that begins like a formula, or does so after white space that it drops. Such a
/// cell gets an apostrophe in front.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let guard: &[u8] = match bytes.first() {
        Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r' | b'\n') => b"'",
        _ => b"",
    };
    // Where the comma is the decimal separator, spreadsheets split cells at semicolons.
    if !bytes.iter().any(|byte| matches!(byte, b'"' | b',' | b';' | b'\n' | b'\r')) {
        out.extend_from_slice(guard);
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(guard);
    for part in bytes.split_inclusive(|&byte| byte == b'"') {
        out.extend_from_slice(part);
        if part.ends_with(b"\"") {
            out.push(b'"');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::columns;

    #[test]
    fn cells_are_quoted_and_formulas_guarded() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("=\"1\"", "\"'=\"\"1\"\"\""),
            ("@x", "'@x"),
            ("-5", "'-5"),
            ("two\nlines", "\"two\nlines\""),
            ("\n=1", "\"'\n=1\""),
            ("a;b", "\"a;b\""),
            ("", ""),
        ] {
            let mut out = Vec::new();
            write_text(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
    }

    #[test]
    fn the_header_names_the_columns_that_are_written() {
        let names: Vec<&str> = PLACES.iter().map(|&place| columns()[place].name()).collect();
        assert_eq!(names.join(",").replace("on_behalf_of_id", "on_behalf_of"), CSV_HEADER);
        let names: String =
            JSON_PLACES.iter().map(|&place| format!(",{}", columns()[place].name())).collect();
        assert_eq!(names, CSV_JSON_HEADER);
    }
}
