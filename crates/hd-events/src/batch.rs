use crate::command::EmitCommand;
use crate::error::EmitError;
use crate::json;
use crate::limits::EmitLimits;

/// Several events: the body of `POST /emit/batch`.
#[derive(Debug)]
pub struct EmitBatch {
    /// The commands, in the order in which they stand in the body; each is good or refused on its
    /// own.
    pub items: Vec<Result<EmitCommand, EmitError>>,
}

impl EmitBatch {
    /// Parses a body `{"items": […]}`, each item by the rules of [`EmitCommand::parse`].
    ///
    /// # Errors
    ///
    /// [`EmitError`] for what is wrong with the body, and not with an item.
    pub fn parse(body: &[u8], limits: &EmitLimits) -> Result<Self, EmitError> {
        let mut field = None;
        json::members(json::text(body)?, |name, value| {
            if name == b"items" {
                field = Some(value);
            }
        })?;
        let field = field.ok_or(EmitError::MissingField { field: "items" })?;

        let mut items = Vec::new();
        json::elements(field, EmitError::InvalidItems, |item| {
            if items.len() >= limits.max_batch_items {
                return Err(EmitError::TooManyItems {
                    limit: limits.max_batch_items,
                });
            }
            items.push(EmitCommand::parse_text(item.get(), limits));
            Ok(())
        })?;
        Ok(Self { items })
    }
}
