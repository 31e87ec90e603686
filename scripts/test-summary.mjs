// Reads what vitest's JSON reporter wrote, names what failed and what was skipped, and ends with the counts.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: test-summary.mjs REPORT.json');
const report = JSON.parse(readFileSync(file, 'utf8'));
const counts = { passed: 0, failed: 0, skipped: 0 };

for (const suite of report.testResults) {
  const path = relative(process.cwd(), suite.name);
  for (const { status, fullName } of suite.assertionResults) {
    const outcome = status === 'passed' || status === 'failed' ? status : 'skipped';
    counts[outcome]++;
    if (outcome !== 'passed') console.log(`${outcome}: ${path}: ${fullName}`);
  }
  // A file that does not load, or whose hooks fail, has no failed test of its own.
  if (suite.status === 'failed' && !suite.assertionResults.some(({ status }) => status === 'failed')) {
    counts.failed++;
    console.log(`failed: ${path}: ${suite.message.split('\n')[0] || 'the file as a whole'}`);
  }
}

const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
// Vitest also fails on errors outside of tests.
if (counts.failed > 0 || counts.passed === 0 || !report.success) process.exitCode = 1;
