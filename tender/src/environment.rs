//! The guest's variables: strings `NAME=VALUE` that whoever starts it chooses. Of the tender's own
//! environment the guest gets nothing.

use std::collections::BTreeMap;

use solo5_sys::layout::ENVIRONMENT_MAX_BYTES;

/// Variables, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What they take in guest memory.
    bytes: usize,
}

/// Why something is no variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No `=`, or nothing before it.
    #[error("a variable has the form NAME=VALUE, and its name at least one letter")]
    Form,
    /// A NUL, which ends a variable in guest memory.
    #[error("a variable cannot hold a NUL")]
    Nul,
    /// There is no room for it.
    #[error("the guest's variables take more than {ENVIRONMENT_MAX_BYTES} bytes")]
    TooLong,
}

impl Environment {
    /// Sets the variable `NAME=VALUE`, instead of one that has this name. The name ends at the first `=`, and
    /// the value may be empty; both are any bytes but NUL.
    ///
    /// # Errors
    /// [`Error`], with nothing changed.
    pub fn set(&mut self, variable: &[u8]) -> Result<(), Error> {
        let end = variable.iter().position(|&byte| byte == b'=').unwrap_or(0);
        if end == 0 {
            return Err(Error::Form);
        }
        if variable.contains(&0) {
            return Err(Error::Nul);
        }
        let (name, value) = (&variable[..end], &variable[end + 1..]);
        let old = self.variables.get(name).map_or(0, |old| bytes_of(name, old));
        let bytes = self.bytes - old + bytes_of(name, value);
        if bytes > ENVIRONMENT_MAX_BYTES {
            return Err(Error::TooLong);
        }
        self.bytes = bytes;
        self.variables.insert(name.to_vec(), value.to_vec());
        Ok(())
    }

    /// Whether there is no variable.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// Names and values.
    pub fn variables(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.variables.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// As they lie in guest memory: each with a NUL behind it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes);
        for (name, value) in &self.variables {
            [name.as_slice(), b"=", value, b"\0"].iter().for_each(|part| out.extend(*part));
        }
        out
    }
}

/// What `NAME=VALUE` and its NUL take.
fn bytes_of(name: &[u8], value: &[u8]) -> usize {
    name.len() + value.len() + 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(variables: &[&str]) -> Environment {
        let mut environment = Environment::default();
        variables.iter().for_each(|variable| environment.set(variable.as_bytes()).unwrap());
        environment
    }

    #[test]
    fn the_last_of_a_name_counts() {
        let environment = of(&["B=2", "A=1", "B==3=", "C="]);
        assert_eq!(environment.to_bytes(), b"A=1\0B==3=\0C=\0");
        assert_eq!(environment.variables().nth(1), Some((&b"B"[..], &b"=3="[..])));
        assert!(!environment.is_empty() && of(&[]).is_empty());
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for (typed, error) in [
            (&b"A"[..], Error::Form),
            (b"", Error::Form),
            (b"=", Error::Form),
            (b"=A", Error::Form),
            (b"A=\0", Error::Nul),
            (b"A\0=1", Error::Nul),
        ] {
            assert_eq!(Environment::default().set(typed), Err(error), "{typed:?}");
        }
    }

    #[test]
    fn there_is_room_for_so_much() {
        let mut environment = of(&["B=1"]);
        let room = ENVIRONMENT_MAX_BYTES - 4;
        let filling = |bytes: usize| [&b"A="[..], &vec![b'x'; bytes - 3]].concat();
        assert_eq!(environment.set(&filling(room + 1)), Err(Error::TooLong));
        assert_eq!(environment, of(&["B=1"]));
        assert_eq!(environment.set(&filling(room)), Ok(()));
        assert_eq!(environment.to_bytes().len(), ENVIRONMENT_MAX_BYTES);
        assert_eq!(environment.set(b"C="), Err(Error::TooLong));
        assert_eq!(environment.set(b"A=y"), Ok(()));
        assert_eq!(environment, of(&["A=y", "B=1"]));
    }

    proptest! {
        #[test]
        fn what_is_told_is_what_is_there(
            variables in proptest::collection::vec("[A-C]{1,2}=[a-z=]{0,9}", 0..20),
        ) {
            let mut environment = Environment::default();
            for variable in &variables {
                prop_assert_eq!(environment.set(variable.as_bytes()), Ok(()));
            }
            let bytes = environment.to_bytes();
            prop_assert_eq!(environment.bytes, bytes.len());
            let mut again = Environment::default();
            let strings = bytes.split(|&byte| byte == 0).filter(|string| !string.is_empty());
            strings.for_each(|string| again.set(string).unwrap());
            prop_assert_eq!(again, environment);
        }
    }
}
