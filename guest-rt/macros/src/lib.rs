//! The `guest_rt::main` attribute. It looks only for `async` and the name of the function; what
//! the entry does is in guest-rt's `__entry!`, not here.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// Marks the function that a guest starts with: `fn main()` or `async fn main()`, without
/// parameters, returning anything that is a `guest_rt::Termination`.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let entry = if !arguments.is_empty() {
        error("guest_rt::main takes no arguments")
    } else {
        match signature(item.clone()) {
            Ok((name, runner)) => format!("::guest_rt::__entry!({name}, {runner});"),
            Err(message) => error(message),
        }
    };
    let mut out = item;
    out.extend(entry.parse::<TokenStream>().unwrap_or_default());
    out
}

/// The function's name and the runtime's function that runs it.
fn signature(item: TokenStream) -> Result<(String, &'static str), &'static str> {
    let mut runner = "run";
    let mut tokens = item.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word.to_string() == "async" => runner = "run_async",
            TokenTree::Ident(word) if word.to_string() == "fn" => {
                let name = tokens.next().ok_or("guest_rt::main: the function has no name")?;
                return match tokens.next() {
                    Some(TokenTree::Group(group))
                        if group.delimiter() == Delimiter::Parenthesis
                            && group.stream().is_empty() =>
                    {
                        Ok((name.to_string(), runner))
                    }
                    _ => Err("guest_rt::main: the function takes no parameters; \
                              guest_rt::args() has the command line"),
                };
            }
            _ => {}
        }
    }
    Err("guest_rt::main marks a function")
}

fn error(message: &str) -> String {
    format!("::core::compile_error!({message:?});")
}
