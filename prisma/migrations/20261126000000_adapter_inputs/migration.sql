ALTER TYPE "input_role" ADD VALUE 'adapter';
