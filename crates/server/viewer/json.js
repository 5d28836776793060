// JSON read and shown without changing a digit: numbers beyond what JavaScript can hold stay exact.

/** As JSON.parse, but whole numbers that would be rounded become BigInts (where the browser tells their text). */
export function parseExact(text) {
  return JSON.parse(text, (key, value, context) => {
    const source = context?.source;
    const isRounded = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? "");
    return isRounded ? BigInt(source) : value;
  });
}

/** As JSON.stringify with an indent, also of what `parseExact` gave. */
export function stringify(value, indent) {
  return JSON.stringify(value, (key, each) => (typeof each === "bigint" ? exactly(each) : each), indent);
}

const exactly = (number) => JSON.rawJSON?.(String(number)) ?? String(number);

/** JSON text with line breaks and an indent; every other character stays as it is. */
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
