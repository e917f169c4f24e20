//! The bytes of a message: header section, trace fields, delivery reports. Pure.
