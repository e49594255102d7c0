// Bundles nothing: writes the program with a date-free banner, using a dependency as a real build would.
const fs = require('fs');
const ms = require('ms');

const source = fs.readFileSync('src/ago.js', 'utf8');
fs.mkdirSync('dist', { recursive: true });
fs.writeFileSync('dist/ago.js', source.replace('DAY', String(ms('1d'))), { mode: 0o755 });
