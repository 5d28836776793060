// Makes the page that checks bundles and proofs one file, to be published with releases:
//
//     node crates/server/check-page.mjs check.html
//
// It loads nothing, and so works from a disk without any server.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const read = (name) => readFileSync(new URL(`viewer/${name}`, import.meta.url), "utf8");
const nameOf = (file) => file.replace(/\.js$/, "");

/** The modules that `file` needs, each after those that it imports. */
function inOrder(file, found = []) {
  if (found.includes(file)) return found;
  for (const [, imported] of read(file).matchAll(/ from "\.\/([^"]+)"/g)) inOrder(imported, found);
  if (!found.includes(file)) found.push(file);
  return found;
}

// Each module becomes a function of its own, so that no names meet.
function asFunction(file) {
  const exported = [];
  const body = read(file)
    .replaceAll(/^import \{([^}]*)\} from "\.\/([^"]+)";$/gm, (_, names, from) => `const {${names}} = module_${nameOf(from)};`)
    .replaceAll(/^export ((?:async )?(?:function\*?|class|const|let) (\w+))/gm, (_, declared, name) => {
      exported.push(name);
      return declared;
    });
  const left = /^(?:import|export) .*$/m.exec(body);
  if (left) throw new Error(`${file}: ${left[0]} is not understood`);
  return `const module_${nameOf(file)} = (() => {\n${body}\nreturn { ${exported.join(", ")} };\n})();\n`;
}

/** The page as one text. */
export function onePage() {
  const [, script] = /<script type="module" src="([^"]+)">/.exec(read("check.html"));
  const code = inOrder(script).map(asFunction).join("\n");
  if (/<\/script/i.test(code)) throw new Error("a module would end the script");
  return read("check.html")
    .replaceAll(/\s*<link rel="(?:modulepreload|icon)"[^>]*>/g, "")
    .replaceAll(/<link rel="stylesheet" href="([^"]+)">/g, (_, name) => `<style>\n${read(name)}</style>`)
    .replace(/<script type="module"[^>]*><\/script>/, () => `<script type="module">\n${code}</script>`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = process.argv[2];
  if (!out) {
    console.error("usage: node crates/server/check-page.mjs FILE");
    process.exit(2);
  }
  writeFileSync(out, onePage());
}
