"""Start the page: `python app.py [--model NAME]...`."""

from unetseg.demo import main

if __name__ == "__main__":
    main()
