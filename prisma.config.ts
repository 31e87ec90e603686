import { defineConfig } from 'prisma/config';

// For `prisma generate`, `validate` and `studio`. Migrations are applied by libs/database (`migrate`), which keeps
// Prisma's own history table, so that the CLI agrees with it wherever it can run.
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  datasource: { url: process.env['DATABASE_URL'] ?? 'postgresql://127.0.0.1:5432/amalgam' },
});
