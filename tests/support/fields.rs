//! Header fields, of messages and of the blocks inside a report.

use std::fmt;

/// One field as it stands on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// As written.
    pub name: String,
    /// Name, colon, value and CRLF, folded as it came.
    pub octets: Vec<u8>,
}

impl Field {
    /// The value on one line, without white space around it.
    pub fn value(&self) -> String {
        let text = String::from_utf8_lossy(&self.octets);
        let (_, value) = text.split_once(':').unwrap_or_default();
        value.replace("\r\n", "").trim().to_owned()
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value())
    }
}

/// Fields in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<Field>);

impl Fields {
    /// The fields at the beginning of `octets`, and how many octets they take. Ends before the first
    /// line that is no field and no continuation of one.
    pub fn parse(octets: &[u8]) -> (Fields, usize) {
        let mut fields: Vec<Field> = Vec::new();
        let mut at = 0;
        while at < octets.len() {
            let end = match memchr::memmem::find(&octets[at..], b"\r\n") {
                Some(length) => at + length + 2,
                None => octets.len(),
            };
            let line = &octets[at..end];
            match (fields.last_mut(), field_name(line)) {
                (Some(field), _) if matches!(line.first(), Some(b' ' | b'\t')) => {
                    field.octets.extend(line);
                }
                (_, Some(name)) => fields.push(Field {
                    name,
                    octets: line.to_vec(),
                }),
                (_, None) => break,
            }
            at = end;
        }
        (Fields(fields), at)
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|f| f.is(name)).map(Field::value)
    }

    /// The value of the one field of this name; fails if there is none, or more than one.
    #[track_caller]
    pub fn only(&self, name: &str) -> String {
        match self.all(name).as_slice() {
            [value] => value.clone(),
            values => panic!("not one field {name}, but {values:?} in {:?}", self.0),
        }
    }

    /// The values of all fields of this name.
    pub fn all(&self, name: &str) -> Vec<String> {
        let of_name = self.0.iter().filter(|f| f.is(name));
        of_name.map(Field::value).collect()
    }

    /// All names in order, as written.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|f| f.name.as_str()).collect()
    }
}

/// RFC 5322 3.6.8: printable ASCII but the colon; obsolete space before the colon is allowed.
fn field_name(line: &[u8]) -> Option<String> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let name = line[..colon].trim_ascii_end();
    let proper = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    proper.then(|| String::from_utf8_lossy(name).into_owned())
}
