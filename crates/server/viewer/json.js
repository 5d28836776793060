// Parses and shows JSON without changing a digit: numbers beyond JavaScript's range stay exact.

/** Like JSON.parse, but whole numbers that would be rounded become BigInts (if the browser gives their text). */
export function parseExact(text) {
  return JSON.parse(text, (key, value, context) => {
    const source = context?.source;
    const isRounded = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? "");
    return isRounded ? BigInt(source) : value;
  });
}

/** Like JSON.stringify with an indent, also for results of `parseExact`. */
export function stringify(value, indent) {
  return JSON.stringify(value, (key, each) => (typeof each === "bigint" ? exactly(each) : each), indent);
}

const exactly = (number) => JSON.rawJSON?.(String(number)) ?? String(number);

/** Adds line breaks and an indent to JSON text; every other character stays unchanged. */
export function indented(text) {
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g) ?? [];
  return tokens
    .map((token, at) => {
      const closes = tokens[at + 1] === "}" || tokens[at + 1] === "]";
      if (token === "{" || token === "[") {
        if (closes) return token;
        depth += 1;
        return token + line();
      }
      if (token === "}" || token === "]") {
        const isEmpty = tokens[at - 1] === "{" || tokens[at - 1] === "[";
        if (isEmpty) return token;
        depth -= 1;
        return line() + token;
      }
      if (token === ",") return token + line();
      return token === ":" ? ": " : token;
    })
    .join("");
}
