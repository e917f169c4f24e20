//! Schema 1: the trees `messages`, `bodies`, `recipients`, `due` and `closing`; records of version 1.

const TREES: [&str; 5] = ["messages", "bodies", "recipients", "due", "closing"];

pub(crate) fn run(db: &sled::Db) -> sled::Result<()> {
    for tree in TREES {
        db.open_tree(tree)?;
    }
    Ok(())
}
