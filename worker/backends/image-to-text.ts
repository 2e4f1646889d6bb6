/** The one task of `@huggingface/inference` that is asked for, so that the bundler can leave the others out. */

export { imageToText } from "@huggingface/inference";
