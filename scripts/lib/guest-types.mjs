// Writes the TypeScript declarations of a WIT world: node guest-types.mjs WIT WORLD FOLDER
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [wit, world, folder] = process.argv.slice(2);
const library = join(process.env.GUEST_JAVASCRIPT_TOOLS, 'node_modules/@bytecodealliance/jco-transpile/dist/index.js');
const { generateGuestTypes } = await import(pathToFileURL(library));

for (const [name, text] of Object.entries(await generateGuestTypes(wit, { worldName: world }))) {
  const file = join(folder, name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}
